"""Sequences of watch events, compared: those that a client received, and those that an observer saw."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.conformance.compare import differences
from tests.conformance.normalise import generated, text

_COMPARED = ("metadata", "status", "reason", "message", "type", "involvedObject", "source", "reportingComponent", "action",
             "endpoints", "ports", "addressType", "subsets")  # fmt: skip


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
    for event in recorded:
        if not any(_same(event, other) for other in actual):
            nearest = next((o for o in actual if o["type"] == event["type"] and _who(o) == _who(event)), None)
            detail = differences(_object(event), _object(nearest), partial=True)[:3] if nearest else "no such event"
            found.append(f"{event['type']} {_who(event)}: {detail}")
    return found


def _exact(recorded: list[Any], actual: list[Any]) -> list[str]:
    shown = [[f"{e['type']} {_who(e)}" for e in events] for events in (recorded, actual)]
    if shown[0] != shown[1]:
        return [f"events: recorded {shown[0]}, got {shown[1]}"]
    found = []
    for index, (one, other) in enumerate(zip(recorded, actual, strict=True)):
        found += [f"event {index}{problem}" for problem in differences(_object(one), _object(other), partial=True)]
    return found


def _object(event: Any) -> Any:
    return event.get("object")


def _same(one: Any, other: Any) -> bool:
    return one["type"] == other["type"] and not differences(_object(one), _object(other), partial=True)


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
    for kind, obj in wanted:
        found += _state(kind, _cut(obj), actual)
    return list(dict.fromkeys(found))


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
        problems = differences(wanted, obj, partial=True)
        if not problems:
            return []
        if not closest or len(problems) < len(closest):
            closest = problems
    return [f"{kind}: {'; '.join(closest[:3]) or 'no such event'}"]
