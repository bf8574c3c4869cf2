"""Probes on the pods of a release. None of them is satisfied by an empty namespace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chaoslib.exceptions import ActivityFailed
from kubernetes import watch

from clients.errors import GamedayError
from experiments.cluster import kube

Pod = dict[str, Any]


def all_ready(release: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, as many pods of the release are Ready as its Deployment wants, and at least one."""

    def satisfied(pods: list[Pod]) -> bool:
        wanted = _desired(release, namespace)
        return 0 < wanted <= sum(_ready(pod) for pod in pods)

    return _await_pods(release, namespace, satisfied, timeout_seconds)


def oom_killed(release: str, namespace: str, timeout_seconds: float) -> bool:
    """Whether, within the time, a pod was killed for its memory while at least one other pod is Ready."""

    def satisfied(pods: list[Pod]) -> bool:
        return any(_oom(pod) for pod in pods) and any(_ready(pod) for pod in pods)

    return _await_pods(release, namespace, satisfied, timeout_seconds)


def _await_pods(release: str, namespace: str, satisfied: Callable[[list[Pod]], bool], timeout_seconds: float) -> bool:
    """Follow the pods of a release by a watch until a condition holds; False when the time ran out."""
    client = kube()
    selector = f"app.kubernetes.io/instance={release}"
    deadline = time.monotonic() + float(timeout_seconds)
    pods: dict[str, Pod] = {}
    try:
        with client.errors(f"pods of {release}"):
            listed = client.plain(client.core.list_namespaced_pod(namespace, label_selector=selector))
            pods = {pod["metadata"]["name"]: pod for pod in listed["items"]}
            if satisfied(list(pods.values())):
                return True
            for event in watch.Watch().stream(
                client.core.list_namespaced_pod,
                namespace,
                label_selector=selector,
                resource_version=listed["metadata"]["resourceVersion"],
                timeout_seconds=max(1, round(deadline - time.monotonic())),
            ):
                pod = event["raw_object"]
                if event["type"] == "DELETED":
                    pods.pop(pod["metadata"]["name"], None)
                else:
                    pods[pod["metadata"]["name"]] = pod
                if satisfied(list(pods.values())):
                    return True
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error
    return False


def _desired(release: str, namespace: str) -> int:
    client = kube()
    with client.errors(f"deployments of {release}"):
        found = client.apps.list_namespaced_deployment(
            namespace, label_selector=f"app.kubernetes.io/instance={release}"
        )
    return sum(int(deployment.spec.replicas or 0) for deployment in found.items)


def _ready(pod: Pod) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _oom(pod: Pod) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    states = [status.get(key) or {} for status in statuses for key in ("state", "lastState")]
    return any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states)
