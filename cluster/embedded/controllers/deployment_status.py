"""The status of a Deployment: counts, and the conditions Available, Progressing and ReplicaFailure. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.embedded.controllers.replicaset import wanted
from cluster.embedded.controllers.rollout import bounds_of
from cluster.embedded.meta import condition_of, is_deleted, now, seconds_since
from cluster.embedded.resources import Object

_NO_DEADLINE = 2**31 - 1

AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"


def deadline_of(deployment: Object) -> int | None:
    """``progressDeadlineSeconds``, or None when there is no deadline."""
    seconds = deployment["spec"].get("progressDeadlineSeconds", 600)
    return None if seconds in (None, _NO_DEADLINE) else int(seconds)


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    """A condition that changes now."""
    stamp = now()
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
    }


def with_condition(conditions: Sequence[Object], new: Object) -> list[Object]:
    """The conditions with one set: nothing changes for the same status and reason, else it moves to the end."""
    current = next((item for item in conditions if item["type"] == new["type"]), None)
    if current is not None:
        if (current["status"], current.get("reason")) == (new["status"], new["reason"]):
            return list(conditions)
        if current["status"] == new["status"]:
            new = {**new, "lastTransitionTime": current.get("lastTransitionTime", new["lastTransitionTime"])}
    return [*without_condition(conditions, new["type"]), new]


def without_condition(conditions: Sequence[Object], kind: str) -> list[Object]:
    """The conditions without one."""
    return [item for item in conditions if item["type"] != kind]


def conditions_of(deployment: Object) -> list[Object]:
    """The conditions now. Read only."""
    return list((deployment.get("status") or {}).get("conditions") or [])


def counted(deployment: Object, sets: Sequence[Object], new: Object | None) -> Object:
    """The status from the ReplicaSets' statuses, with Available judged anew."""
    bounds = bounds_of(deployment)
    available = _sum(sets, "availableReplicas")
    counts = {
        "availableReplicas": available,
        "readyReplicas": _sum(sets, "readyReplicas"),
        "replicas": _sum(sets, "replicas"),
        "unavailableReplicas": max(0, sum(wanted(item) for item in sets) - available),
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "collisionCount": int((deployment.get("status") or {}).get("collisionCount") or 0),
    }
    if available >= bounds.min_available:
        judged = condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        text = "Deployment does not have minimum availability."
        judged = condition("Available", "False", "MinimumReplicasUnavailable", text)
    return {
        **{name: count for name, count in counts.items() if count},
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "terminatingReplicas": _sum(sets, "terminatingReplicas"),
        "conditions": with_condition(conditions_of(deployment), judged),
    }


def progressed(deployment: Object, status: Object, sets: Sequence[Object], new: Object | None) -> Object:
    """The status with Progressing and ReplicaFailure judged anew."""
    conditions = list(status["conditions"])
    deadline = deadline_of(deployment)
    if deadline is None:
        conditions = without_condition(conditions, "Progressing")
    elif not _was_complete(deployment, status):
        conditions = _judge_progress(deployment, status, new, deadline)
    failures = [item for item in map(_failure, [*([new] if new else []), *sets]) if item]
    if failures:
        text = failures[0]
        raised = condition("ReplicaFailure", text["status"], text["reason"], text["message"])
        conditions = with_condition(conditions, raised)
    else:
        conditions = without_condition(conditions, "ReplicaFailure")
    return {**status, "conditions": conditions}


def is_complete(deployment: Object, status: Object) -> bool:
    """All pods are of the new template and available, and no old one is left."""
    replicas = bounds_of(deployment).replicas
    counts = (status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas"))
    observed = int(status.get("observedGeneration", 0))
    return observed >= int(deployment["metadata"].get("generation", 1)) and all(n == replicas for n in counts)


def seconds_to_deadline(deployment: Object) -> float | None:
    """When a look at the deadline is due, None when there is nothing to wait for."""
    current = condition_of(deployment, "Progressing")
    deadline = None if deployment["spec"].get("paused") or is_deleted(deployment) else deadline_of(deployment)
    status = deployment.get("status") or {}
    if deadline is None or current is None or is_complete(deployment, status) or current["reason"] == TIMED_OUT:
        return None
    # One second more, since the API keeps whole seconds.
    return max(1.0, deadline - seconds_since(current["lastUpdateTime"]) + 1.0)


def _judge_progress(deployment: Object, status: Object, new: Object | None, deadline: int) -> list[Object]:
    conditions = list(status["conditions"])
    name = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    current = condition_of(deployment, "Progressing")
    if is_complete(deployment, status):
        text = f"{name} has successfully progressed."
        return with_condition(conditions, condition("Progressing", "True", AVAILABLE, text))
    if _is_progressing(deployment, status):
        fresh = condition("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
        if current is not None and current["status"] == "True":
            fresh["lastTransitionTime"] = current["lastTransitionTime"]
        return [*without_condition(conditions, "Progressing"), fresh]
    if _is_timed_out(current, deadline):
        text = f"{name} has timed out progressing."
        return with_condition(conditions, condition("Progressing", "False", TIMED_OUT, text))
    return conditions


def _was_complete(deployment: Object, status: Object) -> bool:
    current = condition_of(deployment, "Progressing")
    return (
        current is not None
        and current["reason"] == AVAILABLE
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    )


def _is_progressing(deployment: Object, status: Object) -> bool:
    before = deployment.get("status") or {}

    def old_pods(counts: Object) -> int:
        return int(counts.get("replicas", 0)) - int(counts.get("updatedReplicas", 0))

    def rises(name: str) -> bool:
        return int(status.get(name, 0)) > int(before.get(name, 0))

    return (
        rises("updatedReplicas")
        or rises("readyReplicas")
        or rises("availableReplicas")
        or old_pods(status) < old_pods(before)
    )


def _is_timed_out(current: Object | None, deadline: int) -> bool:
    if current is None or current["reason"] == AVAILABLE:
        return False
    return current["reason"] == TIMED_OUT or seconds_since(current["lastUpdateTime"]) > deadline


def _failure(replica_set: Object) -> Object | None:
    return condition_of(replica_set, "ReplicaFailure")


def _sum(sets: Sequence[Object], name: str) -> int:
    return sum(int((item.get("status") or {}).get(name) or 0) for item in sets)
