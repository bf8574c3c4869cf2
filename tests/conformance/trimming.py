"""What a recorder left out of an object, so that nothing else is overlooked when it is compared.

The recordings' README and their ``trimmed`` lists name the forms; each is told by a mark of its own:

- ``_reduced``: identity metadata, a few fields of the spec, the whole status;
- an item that is nothing but its name; an object without the time of its creation, which a server never leaves out:
  metadata was cut (and the status, and some defaults of a pod template);
- an object of a watch without ``managedFields``: identity metadata, a spec in the recorder's own words, the status,
  which is cut only where it lacks what a server always writes;
- ``managedFields`` entries without ``fieldsV1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

_MANAGER = ("manager", "operation", "subresource", "apiVersion")
_MARK = "_reduced"
_ALWAYS = {"Pod": "qosClass", "Node": "nodeInfo"}
"""What the status of a kind always has, unless it was cut."""
_POD_DEFAULTS = {"dnsPolicy", "restartPolicy", "schedulerName", "securityContext"}
"""Defaults of a pod template that are left out of objects without a time of creation."""


def pair(recorded: Any, actual: Any) -> tuple[Any, Any]:
    """The two objects without what the recorder cut from the first one."""
    if not isinstance(recorded, dict) or not isinstance(actual, dict):
        return recorded, actual
    if recorded.get(_MARK):
        return _reduced(recorded, actual)
    if _is_cut(recorded):
        return _cut(recorded, actual)
    return recorded, _managers(recorded, actual)


def watched(recorded: Any, actual: Any) -> tuple[Any, Any]:
    """The same for objects of watch events."""
    if not isinstance(recorded, dict) or not isinstance(actual, dict):
        return recorded, actual
    metadata = recorded.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" in metadata or not {"name", "resourceVersion"} & set(metadata):
        return pair(recorded, actual)
    kept = _without(recorded, {"spec"})
    shown = _only(actual, kept)
    shown["metadata"] = _only(actual.get("metadata"), metadata)
    if _status_is_cut(recorded):
        shown["status"] = _narrow(recorded["status"], actual.get("status"))
    return kept, shown


def _cut(recorded: Json, actual: Json) -> tuple[Json, Json]:
    kept = {**recorded, "metadata": {key: value for key, value in recorded["metadata"].items() if value is not None}}
    shown = _only(actual, kept) if set(kept) == {"metadata"} else _without(actual, {"status"} - set(kept))
    shown["metadata"] = _only(actual.get("metadata"), kept["metadata"])
    spec, pod = _pod_spec(kept), _pod_spec(shown)
    for key in _POD_DEFAULTS - set(spec):
        pod.pop(key, None)
    return kept, shown


def _pod_spec(obj: Json) -> Json:
    """The pod spec of a workload's template, which may be changed; empty when there is none."""
    for key in ("spec", "template", "spec"):
        inner = obj.get(key)
        if not isinstance(inner, dict):
            return {}
        obj[key] = obj = dict(inner)
    return obj


def _reduced(recorded: Json, actual: Json) -> tuple[Json, Json]:
    kept = {key: value for key, value in recorded.items() if key != _MARK and value is not None}
    shown = _only(actual, kept)
    for key in ("metadata", "spec"):
        if key in kept:
            shown[key] = _only(actual.get(key), kept[key])
    if kept.get("spec") == {} and not shown.get("spec"):
        del kept["spec"]
        shown.pop("spec", None)
    if kept.get("status") == {} and "status" not in actual:
        del kept["status"]
    return kept, shown


def _is_cut(recorded: Json) -> bool:
    metadata = recorded.get("metadata")
    if not isinstance(metadata, dict) or "creationTimestamp" in metadata or "name" not in metadata:
        return False
    only_named = set(recorded) == {"metadata"}
    stored = "resourceVersion" in metadata and recorded.get("kind") not in ("Scale", None)
    return only_named or stored


def _status_is_cut(recorded: Json) -> bool:
    status = recorded.get("status")
    if not isinstance(status, dict) or not status:
        return False
    conditions = status.get("conditions") or []
    always = _ALWAYS.get(str(recorded.get("kind")))
    return any("lastTransitionTime" not in c for c in conditions) or bool(always and always not in status)


def _narrow(recorded: Any, actual: Any) -> Any:
    """What an object has of the fields of another one, at every depth."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return {key: _narrow(value, actual[key]) for key, value in recorded.items() if key in actual}
    if isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        return [_narrow(one, other) for one, other in zip(recorded, actual, strict=True)]
    return actual


def _managers(recorded: Json, actual: Json) -> Json:
    entries = (
        (recorded.get("metadata") or {}).get("managedFields") if isinstance(recorded.get("metadata"), dict) else None
    )
    metadata = actual.get("metadata")
    if not entries or not isinstance(metadata, dict) or any("fieldsV1" in entry for entry in entries):
        return actual
    shown = [_only(entry, _MANAGER) for entry in metadata.get("managedFields") or []]
    return {**actual, "metadata": {**metadata, "managedFields": shown}}


def _only(mapping: Any, keys: Iterable[str]) -> Any:
    return {key: mapping[key] for key in keys if key in mapping} if isinstance(mapping, dict) else mapping


def _without(mapping: Json, keys: set[str]) -> Json:
    return {key: value for key, value in mapping.items() if key not in keys}
