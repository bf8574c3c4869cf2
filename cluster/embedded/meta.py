"""Small reads that every component makes on Kubernetes objects: times, owners, conditions, references."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cluster.embedded.resources import Object


def now() -> str:
    """The wall-clock time as ``metav1.Time`` is written: RFC 3339, whole seconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """The wall-clock time as ``metav1.MicroTime`` is written: RFC 3339 with microseconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_since(timestamp: str) -> float:
    """Seconds between a ``Time`` or ``MicroTime`` and now (negative when it lies ahead)."""
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()


def key_of(obj: Object) -> tuple[str, str]:
    """(namespace, name); the namespace of a cluster-scoped object is ``""``."""
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def labels_of(obj: Object) -> dict[str, str]:
    """The labels, or an empty dict. Read only."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """The annotations, or an empty dict. Read only."""
    return obj["metadata"].get("annotations") or {}


def is_deleted(obj: Object) -> bool:
    """Whether deletion of the object was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def owners_of(obj: Object) -> list[dict[str, Any]]:
    """The ownerReferences, or an empty list. Read only."""
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The ownerReference with ``controller: true``, or None."""
    return next((ref for ref in owners_of(obj) if ref.get("controller")), None)


def controller_reference(owner: Object) -> dict[str, Any]:
    """An ownerReference that makes ``owner`` the controller, blocking its foreground deletion."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def object_reference(obj: Object) -> dict[str, Any]:
    """An ObjectReference to an object. Something that has no metadata is taken for a reference already."""
    if "metadata" not in obj:
        return dict(obj)
    metadata = obj["metadata"]
    fields = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "name": metadata["name"],
        "namespace": metadata.get("namespace"),
        "resourceVersion": metadata.get("resourceVersion"),
        "uid": metadata.get("uid"),
    }
    return {name: value for name, value in fields.items() if value}


def condition_of(obj: Object, kind: str) -> dict[str, Any] | None:
    """The status condition of that type, or None."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind), None)


def has_condition(obj: Object, kind: str) -> bool:
    """Whether the status condition of that type is True."""
    condition = condition_of(obj, kind)
    return condition is not None and condition["status"] == "True"


def matches_selector(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) selects the labels; an empty one selects all."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(expression, labels) for expression in selector.get("matchExpressions") or [])


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether a toleration covers a taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _matches(expression: Object, labels: dict[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
