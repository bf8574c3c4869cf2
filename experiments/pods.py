"""Probes on the pods of a release. None of them is satisfied by an empty namespace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from experiments.cluster import failures, kube

Pod = dict[str, Any]
_INSTANCE = "app.kubernetes.io/instance={}"


def all_ready(release: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, as many pods of the release are Ready as its Deployment wants, and at least one."""

    def satisfied(pods: list[Pod]) -> bool:
        return 0 < _desired(release, namespace) <= sum(map(_ready, pods))

    return _await_pods(release, namespace, satisfied, timeout_seconds)


def some_not_ready(release: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, fewer pods of the release are Ready than its Deployment wants."""

    def satisfied(pods: list[Pod]) -> bool:
        return sum(map(_ready, pods)) < _desired(release, namespace)

    return _await_pods(release, namespace, satisfied, timeout_seconds)


def oom_killed(release: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, a pod was killed for its memory while at least one other pod is Ready."""

    def satisfied(pods: list[Pod]) -> bool:
        return any(map(_oom, pods)) and any(map(_ready, pods))

    return _await_pods(release, namespace, satisfied, timeout_seconds)


def _await_pods(release: str, namespace: str, satisfied: Callable[[list[Pod]], bool], timeout_seconds: float) -> bool:
    """Look at the pods of a release, and again at every change, until a condition holds; False when time is over."""
    labels = _INSTANCE.format(release)
    deadline = time.monotonic() + float(timeout_seconds)
    with failures():
        client = kube()
        while (left := deadline - time.monotonic()) > 0:
            for _ in client.watch("pods", namespace, labels=labels, timeout_seconds=left):
                if satisfied(client.list_objects("pods", namespace, labels=labels)):
                    return True
    return False


def _desired(release: str, namespace: str) -> int:
    found = kube().list_objects("deployments", namespace, labels=_INSTANCE.format(release))
    return sum(int(deployment["spec"].get("replicas", 1)) for deployment in found)


def _ready(pod: Pod) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _oom(pod: Pod) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    states = [status.get(key) or {} for status in statuses for key in ("state", "lastState")]
    return any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states)
