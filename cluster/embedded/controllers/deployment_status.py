"""What a Deployment says of itself: counts, Available and Progressing. Pure, apart from the time of day."""

from __future__ import annotations

from typing import Any

from cluster.embedded.controllers.common import now, seconds_since
from cluster.embedded.controllers.rollout import bounds
from cluster.embedded.resources import Object

Condition = dict[str, Any]


def counts(new: Object | None, owned: list[Object]) -> dict[str, int]:
    """Pod counts over all ReplicaSets of a Deployment."""

    def total(key: str) -> int:
        return sum((rs.get("status") or {}).get(key, 0) for rs in owned)

    return {
        "replicas": total("replicas"),
        "updatedReplicas": ((new or {}).get("status") or {}).get("replicas", 0),
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": total("availableReplicas"),
        "terminatingReplicas": total("terminatingReplicas"),
    }


def complete(deployment: Object, new: Object, olds: list[Object]) -> bool:
    """Whether every wanted pod is of the new template and available, and no old one is left."""
    wanted = deployment["spec"].get("replicas", 1)
    seen = counts(new, [new, *olds])
    return bool(seen["updatedReplicas"] == seen["replicas"] == seen["availableReplicas"] == wanted)


def status(
    deployment: Object, old: dict[str, Any], new: Object | None, owned: list[Object]
) -> tuple[dict[str, Any], float | None]:
    """The new status, and after how many seconds the progress deadline wants another look (None: not at all)."""
    seen = counts(new, owned)
    wanted = deployment["spec"].get("replicas", 1)
    unavailable = (
        max(0, wanted - seen["availableReplicas"])
        if seen["replicas"] <= wanted
        else max(0, seen["replicas"] - seen["availableReplicas"])
    )
    result: dict[str, Any] = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    result |= {key: value for key, value in seen.items() if value or key == "terminatingReplicas"}
    if unavailable:
        result["unavailableReplicas"] = unavailable
    if old.get("collisionCount"):
        result["collisionCount"] = old["collisionCount"]
    old_conditions = {c["type"]: c for c in old.get("conditions") or []}
    available = _available(deployment, seen["availableReplicas"])
    progressing, recheck = _progressing(deployment, old, old_conditions.get("Progressing"), new, owned, seen)
    conditions = [_stamp(c, old_conditions.get(c["type"])) for c in (available, progressing) if c]
    kept = [c for kind, c in old_conditions.items() if kind not in ("Available", "Progressing")]
    result["conditions"] = [*kept, *conditions]
    return result, recheck


def _available(deployment: Object, available: int) -> Condition:
    wanted = deployment["spec"].get("replicas", 1)
    _, unavailable = bounds(deployment["spec"].get("strategy") or {}, wanted)
    if available >= wanted - unavailable:
        return _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    message = "Deployment does not have minimum availability."
    return _condition("Available", "False", "MinimumReplicasUnavailable", message)


def _progressing(
    deployment: Object,
    old: dict[str, Any],
    before: Condition | None,
    new: Object | None,
    owned: list[Object],
    seen: dict[str, int],
) -> tuple[Condition | None, float | None]:
    if new is None or deployment["spec"].get("paused"):
        if deployment["spec"].get("paused"):
            return _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"), None
        return before, None
    name = new["metadata"]["name"]
    olds = [rs for rs in owned if rs is not new]
    if complete(deployment, new, olds):
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return _condition("Progressing", "True", "NewReplicaSetAvailable", message), None
    if _moved(old, seen) or before is None or before["reason"] in ("NewReplicaSetAvailable", "DeploymentPaused"):
        fresh = not seen["updatedReplicas"] and not old.get("updatedReplicas")
        if before is None or (fresh and before["reason"] == "NewReplicaSetAvailable"):
            created = _condition("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
            return created, _deadline(deployment)
        message = f'ReplicaSet "{name}" is progressing.'
        condition = _condition("Progressing", "True", "ReplicaSetUpdated", message)
        condition["lastUpdateTime"] = now()
        return condition, _deadline(deployment)
    return _overdue(deployment, before, name)


def _overdue(deployment: Object, before: Condition, name: str) -> tuple[Condition, float | None]:
    deadline = _deadline(deployment)
    if before["reason"] == "ProgressDeadlineExceeded":
        return before, None
    left = deadline - seconds_since(before.get("lastUpdateTime"))
    if left > 0:
        return before, left + 0.1
    message = f'ReplicaSet "{name}" has timed out progressing.'
    return _condition("Progressing", "False", "ProgressDeadlineExceeded", message), None


def _moved(old: dict[str, Any], seen: dict[str, int]) -> bool:
    """Whether the rollout went forward since the last status."""

    def before(key: str) -> int:
        return int(old.get(key, 0))

    old_before = before("replicas") - before("updatedReplicas")
    old_now = seen["replicas"] - seen["updatedReplicas"]
    return (
        seen["updatedReplicas"] > before("updatedReplicas")
        or old_now < old_before
        or seen["readyReplicas"] > before("readyReplicas")
        or seen["availableReplicas"] > before("availableReplicas")
    )


def _deadline(deployment: Object) -> float:
    return float(deployment["spec"].get("progressDeadlineSeconds", 600))


def _condition(kind: str, value: str, reason: str, message: str) -> Condition:
    return {"type": kind, "status": value, "reason": reason, "message": message}


def _stamp(condition: Condition, before: Condition | None) -> Condition:
    """Put times on a condition: the transition when its status changed, the update when anything did."""
    same_status = before is not None and before["status"] == condition["status"]
    unchanged = (
        same_status
        and before is not None
        and before["reason"] == condition["reason"]
        and (before["message"] == condition["message"])
    )
    if unchanged and before is not None and "lastUpdateTime" not in condition:
        return before
    moment = now()
    return {
        **condition,
        "lastUpdateTime": condition.get("lastUpdateTime", moment),
        "lastTransitionTime": before["lastTransitionTime"] if same_status and before else moment,
    }
