"""Probes through the API router: what a client of the platform would see."""

from __future__ import annotations

import threading
import time

from clients.router import RouterClient
from experiments import cluster

_POLL_SECONDS = 0.1


def completion(model: str, namespace: str) -> str:
    """What one completion comes to: ``answered``, or the router's error code."""
    with cluster.failures():
        return _outcome(cluster.router(namespace), model)


def answered_within(model: str, namespace: str, seconds: float) -> bool:
    """Whether one completion is answered, and no later than after so many seconds."""
    with cluster.failures():
        answer = cluster.router(namespace).complete(model)
        return answer.ok and answer.seconds <= float(seconds)


def slowed_down(model: str, namespace: str, seconds: float) -> bool:
    """Whether one completion takes at least so many seconds, answered or not."""
    with cluster.failures():
        return cluster.router(namespace).complete(model).seconds >= float(seconds)


def refused(model: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, the router refuses the model because it is disabled."""
    deadline = time.monotonic() + float(timeout_seconds)
    pause = threading.Event()
    with cluster.failures():
        router = cluster.router(namespace)
        while time.monotonic() < deadline:
            if _outcome(router, model) == "MODEL_DISABLED":
                return True
            pause.wait(_POLL_SECONDS)
    return False


def _outcome(router: RouterClient, model: str) -> str:
    answer = router.complete(model)
    return "answered" if answer.ok else answer.code or str(answer.status)
