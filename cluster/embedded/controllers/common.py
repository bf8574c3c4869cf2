"""Small facts that several controllers need: ownership, readiness, conditions, times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cluster.embedded.resources import Object


def now() -> str:
    """The wall-clock time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(stamp: str | None) -> float:
    """Seconds from an API time until now; a missing one is now."""
    if not stamp:
        return 0.0
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The ownerReference of the object's controller, if it has one."""
    owners = obj["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def controlled_by(objects: Iterable[Object], owner: Object) -> list[Object]:
    """The objects whose controller is the owner (by uid)."""
    uid = owner["metadata"]["uid"]
    return [obj for obj in objects if (ref := controller_of(obj)) and ref["uid"] == uid]


def owner_reference(owner: Object) -> dict[str, Any]:
    """An ownerReference that makes the owner the controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: Object, kind: str) -> dict[str, Any] | None:
    """A condition of an object's status by type."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind), None)


def terminating(obj: Object) -> bool:
    """Whether a deletion has been asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def pod_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def pod_available(pod: Object, min_ready_seconds: int) -> bool:
    """Ready for at least ``min_ready_seconds``."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return False
    return min_ready_seconds == 0 or seconds_since(found.get("lastTransitionTime")) >= min_ready_seconds


def pod_active(pod: Object) -> bool:
    """Neither finished nor on its way out."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not terminating(pod)


def matches(selector: dict[str, Any] | None, labels: dict[str, str] | None) -> bool:
    """Whether labels satisfy a LabelSelector object. An empty selector matches everything."""
    labels = labels or {}
    wanted = (selector or {}).get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(e, labels) for e in (selector or {}).get("matchExpressions") or [])


def _expression(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
