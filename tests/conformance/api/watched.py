"""Watch events, compared: those that a client received, and those that an observer saw.

Where no controller writes, the sequences have to be equal. Where controllers, scheduler and kubelet do, how many
intermediate updates they make is left open (the recordings' README), so the life of each object is compared:

- the first event has the recorded type, and the last recorded state is reached exactly as recorded;
- every recorded value of an intermediate state (conditions, reasons, messages, phases; not the counts on the way) is
  shown by that object some time;
- no state is shown here that was not recorded (again without counts and messages);
- Events are compared as sequences of type, reason, message and source for each involved object.

Objects with generated names are matched with each other: each recorded one with one of its own here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.conformance import normalise
from tests.conformance.compare import event_differences
from tests.conformance.normalise import generated, text

INITIAL_END = "k8s.io/initial-events-end"
_NEVER = ["never seen here"]
_UPDATED_AT_WILL = ("EndpointSlice", "Endpoints")
"""Kinds of which ``generation`` counts the updates."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of a watch.

    Attributes:
        late: whether it came after the end of what was recorded.
    """

    type: str
    object: Any
    late: bool = False


Life = Sequence[Seen]


def stream_differences(recorded: list[Any], actual: list[Any], known: list[Any] | None = None) -> list[str]:
    """Differences between two streams of events that a client received.

    Args:
        recorded: the recorded events.
        actual: those of this run; ``late`` marks one that came after the recorded watch was over.
        known: where controllers write these objects, what an observer saw of them: a client may begin and end to watch
            at another moment of their lives. None where nobody else writes.
    """
    extra = actual[len(recorded) :]
    punctual = actual[: len(recorded)] if all(event.get("late") for event in extra) else actual
    exact = _exact(recorded, [{key: value for key, value in event.items() if key != "late"} for event in punctual])
    if not exact or known is None:
        return exact
    ones, others = _carried(recorded), _carried(actual)
    found = _initial(ones, others)
    seen: dict[str, list[Any]] = defaultdict(list)
    for version in known:
        seen[_name(version)].append(version)
    lives = _lives(_groups(ones, _named), _groups(others, _named), seen)
    return found + [f"{who}: {problem}" for who, problems in lives for problem in problems]


def watched_differences(
    recorded: list[Any], seen: list[tuple[float, str, str, Any]], until: float
) -> list[tuple[str, list[str]]]:
    """For each object of the recorded watch: its label, and what is different about its life here.

    Args:
        recorded: events of the recorded observer.
        seen: events of this run's observer: (time, resource, type, object).
        until: the time here that corresponds to the end of the recorded watch.
    """
    resources = {event["resource"] for event in recorded}
    namespaces = {_namespace(event["object"]) for event in recorded} | {""}
    found: list[tuple[str, list[str]]] = []
    for resource in sorted(resources - {"events", "node-events"}):
        ones = [event for event in recorded if event["resource"] == resource]
        others = [
            {"type": kind, "object": obj, "late": time > until}
            for time, name, kind, obj in seen
            if name == resource and _namespace(obj) in namespaces
        ]
        lives = _lives(_groups(ones, _object_name), _groups(others, _object_name))
        found += [(f"{resource} {who}", problems) for who, problems in lives]
    if "events" in resources:
        told = [event["object"] for event in recorded if event["resource"] == "events" and event["type"] == "ADDED"]
        here = [(time > until, obj) for time, name, kind, obj in seen if name == "events" and kind == "ADDED"]
        found += _told(told, here)
    return found


def _exact(recorded: list[Any], actual: list[Any]) -> list[str]:
    shown = [[f"{e.get('type')} {_name(e.get('object'))}" for e in events] for events in (recorded, actual)]
    if "raw" in "".join(key for event in recorded for key in event):
        return [
            p for one, other in zip(recorded, actual, strict=False) for p in event_differences(one.get("raw"), other)
        ]
    if shown[0] != shown[1]:
        return [f"events: recorded {shown[0]}, got {shown[1]}"]
    found = []
    for index, (one, other) in enumerate(zip(_carried(recorded), _carried(actual), strict=True)):
        found += [f"event {index}{problem}" for problem in _unlike(one["object"], other["object"])]
    return found


def _carried(events: list[Any]) -> list[Any]:
    """Events of tables, each with the columns that only the first one has."""
    columns: Any = None
    carried = []
    for event in events:
        obj = event.get("object")
        if isinstance(obj, dict) and obj.get("kind") == "Table":
            columns = obj.get("columnDefinitions") or columns
            obj = {**obj, "columnDefinitions": columns}
        carried.append({**event, "object": obj})
    return carried


def _initial(recorded: list[Any], actual: list[Any]) -> list[str]:
    """What comes before the bookmark that ends the initial events has to be the same."""
    ones, others = _before_end(recorded), _before_end(actual)
    if (ones is None) != (others is None):
        return [f"bookmark {INITIAL_END}: recorded {ones is not None}, got {others is not None}"]
    return [] if ones == others else [f"initial events: recorded {ones}, got {others}"]


def _before_end(events: list[Any]) -> list[str] | None:
    names = []
    for event in events:
        if event.get("type") == "BOOKMARK" and INITIAL_END in json.dumps(event.get("object")):
            return sorted(names)
        names.append(f"{event.get('type')} {_name(event.get('object'))}")
    return None


def _groups(events: list[Any], name: Callable[[Any], str]) -> dict[str, list[list[Seen]]]:
    """The lives of objects, by name without what is generated."""
    lives: dict[str, list[Seen]] = defaultdict(list)
    for event in events:
        if event.get("type") != "BOOKMARK":
            lives[_identity(event["object"])].append(Seen(event["type"], event["object"], bool(event.get("late"))))
    grouped: dict[str, list[list[Seen]]] = defaultdict(list)
    for life in lives.values():
        grouped[name({"object": life[0].object})].append(life)
    return grouped


def _lives(
    recorded: dict[str, list[list[Seen]]],
    actual: dict[str, list[list[Seen]]],
    known: dict[str, list[Any]] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    for who, lives in recorded.items():
        left = list(actual.get(who, ()))
        problems: list[str] = []
        for life in sorted(lives, key=len, reverse=True):
            if not left:
                problems += _NEVER
                continue
            versions = None if known is None else known.get(who, [])
            best, found = min(((other, _life(life, other, versions)) for other in left), key=lambda pair: len(pair[1]))
            left.remove(best)
            problems += found
        problems += [f"{_identity(life[0].object)}: not recorded" for life in left if not life[0].late]
        yield who, list(dict.fromkeys(problems))
    for who, lives in actual.items():
        if who not in recorded and not all(life[0].late for life in lives):
            yield who, ["not recorded"]


def _life(recorded: Life, actual: Life, known: list[Any] | None) -> list[str]:
    """Differences between two lives; of a client's watch when it is known what else was seen of the object."""
    found = []
    if recorded[0].type != actual[0].type:
        found.append(f"first event: recorded {recorded[0].type}, got {actual[0].type}")
    shown = {entry for obj in [*(seen.object for seen in actual), *(known or ())] for entry in _values(obj)}
    found += _end(recorded[-1], actual, shown if known is not None else None)
    for seen in recorded[:-1]:
        if not any(other.type == seen.type and not _unlike(seen.object, other.object) for other in actual):
            missing = sorted({entry for entry in _values(seen.object) if not _is_count(entry)} - shown)
            found += [f"{seen.type}: never shown here: {path}={value}" for path, value in missing]
    if known is not None:
        return found
    expected = {entry for seen in recorded for entry in _states(seen.object)}
    extra = {entry for seen in actual if not seen.late for entry in _states(seen.object)} - expected
    paths = {path for path, _ in expected}
    return found + [f"never recorded: {path}={value}" for path, value in sorted(extra) if path in paths]


def _end(last: Seen, actual: Life, shown: set[tuple[str, str]] | None) -> list[str]:
    """The last recorded state has to be reached, and no deletion may follow.

    A client goes away in the midst of changes: then every value of the last state has to be among those *shown*.
    """
    same = [seen for seen in actual if seen.type == last.type]
    if not same:
        return [f"last event: recorded {last.type}, got {actual[-1].type}"]
    if last.type != "DELETED" and any(seen.type == "DELETED" and not seen.late for seen in actual):
        return ["deleted, which is not recorded"]
    if any(not _unlike(last.object, seen.object) for seen in same):
        return []
    if shown is not None and set(_values(last.object)) <= shown:
        return []
    closest = min((_unlike(last.object, seen.object) for seen in same), key=len)
    return [f"last {last.type}{problem}" for problem in closest]


def _unlike(recorded: Any, actual: Any) -> list[str]:
    return event_differences(_settled(recorded), _settled(actual))


def _settled(obj: Any) -> Any:
    """An object without the count of its updates, its endpoints in a fixed order."""
    if not isinstance(obj, dict) or obj.get("kind") not in _UPDATED_AT_WILL:
        return obj
    metadata = {key: value for key, value in obj["metadata"].items() if key != "generation"}
    endpoints = sorted(obj.get("endpoints") or [], key=lambda e: json.dumps(normalise.value(e), sort_keys=True))
    return {**obj, "metadata": metadata, "endpoints": endpoints}


def _values(obj: Any) -> Iterator[tuple[str, str]]:
    """Paths and values of a status (or endpoints), without what varies."""
    if isinstance(obj, dict):
        for key in ("status", "endpoints", "rows"):
            yield from _leaves(normalise.value(obj.get(key)), key)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            label = inner.get("type", inner.get("name", "")) if isinstance(inner, dict) else ""
            yield from _leaves(inner, f"{path}[{label}]")
    elif value is not None:
        yield path, json.dumps(value)


def _states(obj: Any) -> Iterator[tuple[str, str]]:
    """The values that name a state: neither counts nor texts for people."""
    for path, value in _values(obj):
        if not _is_count((path, value)) and path.endswith((".status", ".reason", ".phase", ".type")):
            yield path, value


def _is_count(entry: tuple[str, str]) -> bool:
    return entry[1].lstrip("-").isdecimal()


def _told(recorded: list[Any], actual: list[tuple[bool, Any]]) -> list[tuple[str, list[str]]]:
    """Events: what was told of each object, in order."""
    wanted, here = defaultdict(list), defaultdict(list)
    for obj in recorded:
        wanted[_involved(obj)].append(obj)
    namespaces = {_namespace(obj) for obj in recorded}
    for late, obj in actual:
        if _namespace(obj) in namespaces and not (late and _involved(obj) not in wanted):
            here[_involved(obj)].append(obj)
    names = list(dict.fromkeys([*wanted, *here]))
    return [(f"events of {who}", _stories(wanted[who], here[who])) for who in names]


def _stories(recorded: list[Any], actual: list[Any]) -> list[str]:
    """Differences between what was told of objects of one name; generated ones are told of in any order."""
    ones, others = (sorted(_by_object(events)) for events in (recorded, actual))
    if ones == others:
        return []
    missing = [line for story in ones for line in story if all(line not in other for other in others)]
    extra = [line for story in others for line in story if all(line not in one for one in ones)]
    found = [f"never told here: {line}" for line in missing] + [f"told here only: {line}" for line in extra]
    return found or [f"told in another order or number: recorded {ones}, got {others}"]


def _by_object(events: list[Any]) -> list[tuple[str, ...]]:
    stories: dict[str, list[str]] = defaultdict(list)
    for obj in events:
        component = (obj.get("source") or {}).get("component") or obj.get("reportingComponent")
        line = f"{obj.get('type')} {obj.get('reason')} ({component}): {text(str(obj.get('message')))}"
        stories[str((obj.get("involvedObject") or {}).get("name"))].append(line)
    return [tuple(story) for story in stories.values()]


def _involved(obj: Any) -> str:
    involved = obj.get("involvedObject") or {}
    return f"{involved.get('kind')} {generated(str(involved.get('name')))}"


def _metadata(obj: Any) -> dict[str, Any]:
    if isinstance(obj, dict) and obj.get("kind") == "Table":
        obj = next(iter(obj.get("rows") or [{}]), {}).get("object")
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _identity(obj: Any) -> str:
    return str(_metadata(obj).get("name"))


def _name(obj: Any) -> str:
    kind = obj.get("kind", "") if isinstance(obj, dict) else ""
    return f"{kind} {generated(_identity(obj))}"


def _named(event: Any) -> str:
    return _name(event["object"])


def _object_name(event: Any) -> str:
    return generated(_identity(event["object"]))


def _namespace(obj: Any) -> str:
    return str(_metadata(obj).get("namespace") or "")
