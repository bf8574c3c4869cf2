"""Objects that are served in more than one API version: Events, stored as core/v1, also as events.k8s.io/v1.

(Kubernetes source: ``apis/events/v1/conversion.go``.)
"""

from __future__ import annotations

from cluster.embedded.resources import EVENTS, EVENTS_V1, Object, Resource

_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_STORED = {served: stored for stored, served in _FIELDS.items()}
_SELECTED = {"regarding": "involvedObject", "reportingController": "reportingComponent"}


def storage_of(resource: Resource) -> Resource:
    """The resource that objects are stored as."""
    return EVENTS if resource is EVENTS_V1 else resource


def to_stored(resource: Resource, obj: Object) -> Object:
    """An object of the version that a client speaks, as it is stored."""
    if resource is not EVENTS_V1:
        return obj
    return {"reportingComponent": "", "reportingInstance": "", **_renamed(obj, _STORED, EVENTS)}


def from_stored(resource: Resource, obj: Object) -> Object:
    """A stored object in the version that a client speaks."""
    if resource is not EVENTS_V1:
        return obj
    return {key: value for key, value in _renamed(obj, _FIELDS, EVENTS_V1).items() if value != ""}


def stored_field(resource: Resource, path: str) -> str:
    """The path in the stored object of what a field selector names; the same where versions do not differ."""
    if resource is not EVENTS_V1:
        return path
    first, dot, rest = path.partition(".")
    return _SELECTED.get(first, first) + dot + rest


def is_foreign_field(resource: Resource, path: str) -> bool:
    """Whether a field selector names a field by its name in another version."""
    return resource is EVENTS_V1 and path.partition(".")[0] in _SELECTED.values()


def _renamed(obj: Object, names: dict[str, str], resource: Resource) -> Object:
    renamed = {names.get(key, key): value for key, value in obj.items()}
    return {**renamed, "apiVersion": resource.api_version, "kind": resource.kind}
