"""What a node's conditions mean for its taints and its pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cluster.embedded.meta import condition_of, now, tolerates
from cluster.embedded.resources import Object

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OWN = frozenset((NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()))
_JUDGED = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")


def readiness(node: Object) -> str | None:
    """Status of the condition Ready: True, False, Unknown, or None if the node never posted it."""
    condition = condition_of(node, "Ready")
    return str(condition["status"]) if condition else None


def evicts(nodes: Iterable[Object]) -> bool:
    """Whether unhealthy nodes may lose their pods: not when the whole cluster, or most of it, is unhealthy.

    See "Nodes: Rate limits on eviction" in the Kubernetes documentation.
    """
    ready = [readiness(node) == "True" for node in nodes]
    bad = ready.count(False)
    return any(ready) and not (bad > 2 and bad / len(ready) >= 0.55)


def schedule_taints(node: Object) -> list[dict[str, Any]]:
    """The taints of a node once its NoSchedule ones say what its conditions say; the others stay as they are."""
    return _replaced(node, "NoSchedule", _no_schedule(node))


def evict_taints(node: Object, *, evict: bool) -> list[dict[str, Any]]:
    """The taints of a node once its NoExecute ones say whether it is healthy; the others stay as they are.

    Args:
        node: as posted.
        evict: whether an unhealthy node may lose its pods.
    """
    unhealthy = _unhealthy(node) if evict else None
    return _replaced(node, "NoExecute", [unhealthy] if unhealthy else [])


def _replaced(node: Object, effect: str, keys: list[str]) -> list[dict[str, Any]]:
    """The taints with the own ones of an effect replaced; those that stay keep their time."""
    present: list[dict[str, Any]] = (node.get("spec") or {}).get("taints") or []
    kept = [t for t in present if t["key"] not in _OWN or t["effect"] != effect or t["key"] in keys]
    known = {t["key"] for t in kept if t["effect"] == effect}
    return kept + [{"key": key, "effect": effect, "timeAdded": now()} for key in keys if key not in known]


def _unhealthy(node: Object) -> str | None:
    return {"False": NOT_READY, "Unknown": UNREACHABLE}.get(readiness(node) or "")


def _no_schedule(node: Object) -> list[str]:
    wanted = [unhealthy] if (unhealthy := _unhealthy(node)) else []
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.append(UNSCHEDULABLE)
    for kind, key in _PRESSURES.items():
        condition = condition_of(node, kind)
        if condition is not None and condition["status"] == "True":
            wanted.append(key)
    return wanted


def silent(node: Object) -> list[dict[str, Any]]:
    """The conditions of a node whose heartbeats have stopped."""
    conditions = [dict(item) for item in (node.get("status") or {}).get("conditions") or []]
    for condition in conditions:
        if condition["type"] in _JUDGED and condition["status"] != "Unknown":
            condition.update(
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                lastTransitionTime=now(),
            )
    return conditions


def not_ready(pod: Object) -> list[dict[str, Any]] | None:
    """The conditions of a ready pod once its node is lost, or None if it is not ready anyway."""
    ready = condition_of(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return None
    lost = {**ready, "status": "False", "lastTransitionTime": now()}
    return [lost if item["type"] == "Ready" else item for item in pod["status"]["conditions"]]


def seconds_tolerated(pod: Object, node: Object) -> float | None:
    """How long a pod may stay on a node once the node has its NoExecute taints: 0 is not at all, None is for ever."""
    taints = [t for t in (node.get("spec") or {}).get("taints") or [] if t.get("effect") == "NoExecute"]
    waits: list[float] = []
    for taint in taints:
        limits = [t.get("tolerationSeconds") for t in _tolerating(pod, taint)]
        if not limits:
            return 0.0
        bounded = [max(0, int(limit)) for limit in limits if limit is not None]
        if bounded:
            waits.append(float(min(bounded)))
    return min(waits, default=None)


def _tolerating(pod: Object, taint: Object) -> list[Object]:
    return [item for item in pod["spec"].get("tolerations") or [] if tolerates(item, taint)]
