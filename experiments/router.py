"""Probes through the API router: what a client of the platform would see."""

from __future__ import annotations

import threading
import time

from chaoslib.exceptions import ActivityFailed
from clients.router import RouterClient

from clients.errors import GamedayError
from experiments import cluster

_POLL_SECONDS = 0.1


def completion(model: str, namespace: str) -> str:
    """What one completion comes to: ``answered``, or the router's error code."""
    return _outcome(cluster.router(namespace), model)


def refused(model: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, the router refuses the model because it is disabled."""
    router = cluster.router(namespace)
    deadline = time.monotonic() + float(timeout_seconds)
    pause = threading.Event()
    while time.monotonic() < deadline:
        if _outcome(router, model) == "MODEL_DISABLED":
            return True
        pause.wait(_POLL_SECONDS)
    return False


def _outcome(router: RouterClient, model: str) -> str:
    try:
        answer = router.completion(model)
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error
    return "answered" if answer.ok else answer.code or str(answer.status)
