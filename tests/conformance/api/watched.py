"""Sequences of watch events, compared: those that a client received, and those that an observer saw."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.conformance.compare import event_differences as object_differences
from tests.conformance.normalise import generated, text

_COMPARED = (
    "metadata", "status", "reason", "message", "type", "involvedObject", "source", "reportingComponent", "action",
    "endpoints", "ports", "addressType", "subsets",
)  # fmt: skip

_COUNTED_KINDS = ("Deployment", "ReplicaSet", "EndpointSlice", "Endpoints", "PodDisruptionBudget")
_COUNTS = ("replicas", "pods", "healthy", "allowed")
_COUNTED = ("deployments", "replicasets", "endpointslices", "endpoints")


def event_differences(recorded: list[Any], actual: list[Any], *, played: bool = False) -> list[str]:
    """Differences between two streams of events.

    Args:
        played: whether controllers write these objects; then each recorded event has to be found, in the recorded order
            of types per object, among the actual ones, which may be more or fewer intermediate updates.
    """
    exact = _exact(recorded, actual)
    if not exact or not played:
        return exact
    found = []
    for index, event in enumerate(recorded):
        between = 0 < index < len(recorded) - 1 and event.get("type") == "MODIFIED"
        if not any(_same(event, other, between=between) for other in actual):
            nearest = next((o for o in actual if o.get("type") == event.get("type") and _who(o) == _who(event)), None)
<<<<<<< HEAD
            detail = object_differences(_object(event), _object(nearest))[:3] if nearest else "no such event"
=======
            detail = differences(_object(event), _object(nearest), partial=True)[:3] if nearest else "no such event"
>>>>>>> machinery
            found.append(f"{event.get('type')} {_who(event)}: {detail}")
    return found


def _exact(recorded: list[Any], actual: list[Any]) -> list[str]:
    shown = [[f"{e.get('type')} {_who(e)}" for e in events] for events in (recorded, actual)]
    if shown[0] != shown[1]:
        return [f"events: recorded {shown[0]}, got {shown[1]}"]
    found = []
    for index, (one, other) in enumerate(zip(recorded, actual, strict=True)):
        found += [f"event {index}{problem}" for problem in object_differences(_object(one), _object(other))]
    return found


def _object(event: Any) -> Any:
    """The object of an event; of reduced ones without the spec, which the recorder wrote in a form of its own."""
    if "type" not in event:
        return event
    obj = event["object"]
    own_form = isinstance(obj, dict) and (event["type"] == "BOOKMARK" or _is_own_form(obj.get("spec")))
    return {key: value for key, value in obj.items() if key != "spec"} if own_form else obj


def _is_own_form(spec: Any) -> bool:
    return isinstance(spec, dict) and (isinstance(spec.get("image"), list) or set(spec) <= {"containers", "nodeName"})


def _same(one: Any, other: Any, *, between: bool) -> bool:
    if one.get("type") != other.get("type"):
        return False
    wanted = _object(one)
    if between and isinstance(wanted, dict) and wanted.get("kind") in _COUNTED_KINDS:
        wanted = _uncounted(wanted)
<<<<<<< HEAD
    return not object_differences(wanted, _object(other))
=======
    return not differences(wanted, _object(other), partial=True)
>>>>>>> machinery


def _who(event: Any) -> str:
    obj = event.get("object")
    obj = obj if isinstance(obj, dict) else {}
    return f"{obj.get('kind', '')} {generated(str((obj.get('metadata') or {}).get('name')))}"


def watched_differences(recorded: list[Any], seen: list[tuple[float, str, str, Any]]) -> list[tuple[str, list[str]]]:
    """For each recorded object: its label, and which of its recorded states were not reached here.

    Events are compared as sequences of reasons per involved object, other objects as sets of reached states with
    their first and last event; the number of intermediate updates may differ.
    """
    actual: dict[tuple[str, str], list[tuple[str, Any]]] = defaultdict(list)
    for _, resource, kind, obj in seen:
        actual[resource, _identity(resource, obj)].append((kind, obj))
    wanted: dict[tuple[str, str], list[tuple[str, Any]]] = defaultdict(list)
    for event in recorded:
        wanted[event["resource"], _identity(event["resource"], event["object"])].append(
            (event["type"], event["object"])
        )
    return [
        (f"{resource} {identity}", _unreached(resource, events, actual[resource, identity]))
        for (resource, identity), events in wanted.items()
    ]


def _identity(resource: str, obj: Any) -> str:
    if resource == "events":
        involved = obj.get("involvedObject") or {}
        return f"{involved.get('kind')} {generated(str(involved.get('name')))} {obj.get('reason')}"
    return generated(str(obj["metadata"]["name"]))


def _unreached(resource: str, wanted: list[tuple[str, Any]], actual: list[tuple[str, Any]]) -> list[str]:
    if not actual:
        return ["never seen here"]
    if resource == "events":
        messages = {text(str(obj.get("message"))) for _, obj in actual}
        missing = {text(str(obj.get("message"))) for _, obj in wanted} - messages
        if missing:
            return [f"message {message!r} never seen; seen: {sorted(messages)}" for message in sorted(missing)]
        return _state("", _cut(wanted[0][1]), [(kind, obj) for kind, obj in actual])
    found = []
    for index, (kind, obj) in enumerate(wanted):
        between = 0 < index < len(wanted) - 1 and resource in _COUNTED
        cut = _uncounted(_cut(obj)) if between or resource == "endpointslices" else _cut(obj)
        found += _state(kind, cut, actual)
    return list(dict.fromkeys(found))


def _uncounted(obj: Any) -> Any:
    """An intermediate state without its counts: how many updates there are on the way is left open."""
    status = {key: value for key, value in (obj.get("status") or {}).items() if not key.lower().endswith(_COUNTS)}
    status.pop("observedGeneration", None)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "generation"}
    kept = {key: value for key, value in obj.items() if key != "endpoints"}
    return {**kept, "metadata": metadata, **({"status": status} if "status" in obj else {})}


def _cut(obj: Any) -> Any:
    cut = {key: obj[key] for key in _COMPARED if key in obj}
    metadata = dict(cut.get("metadata") or {})
    metadata.pop("managedFields", None)
    return {**cut, "metadata": metadata}


def _state(kind: str, wanted: Any, actual: list[tuple[str, Any]]) -> list[str]:
    closest: list[str] = []
    for other_kind, obj in actual:
        if kind and other_kind != kind:
            continue
        problems = object_differences(wanted, obj)
        if not problems:
            return []
        if not closest or len(problems) < len(closest):
            closest = problems
    return [f"{kind}: {'; '.join(closest[:3]) or 'no such event'}"]
