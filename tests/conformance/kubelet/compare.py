"""Compares what a cluster did with a recording, entry by entry."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.embedded.resources import Object
from tests.conformance.kubelet import normal
from tests.conformance.kubelet.recording import Entry

SLACK_SECONDS = 1.5
_BACK_OFF = re.compile(r"back-off (?:(?P<minutes>\d+)m)?(?P<seconds>\d+)s restarting failed")


@dataclass
class Result:
    """How far the cluster did what the recording shows; the unit is an entry of the timeline.

    Attributes:
        equal: reached, in order, and with nothing else in between.
        unsupported: not tried; the reasons are in ``reasons``.
        details: one line for each difference.
    """

    recording: str
    total: int = 0
    equal: int = 0
    different: int = 0
    unsupported: int = 0
    details: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count one entry as not tried."""
        self.unsupported += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


@dataclass
class _Unit:
    """Entries that show the same thing after normalising; ``entries`` are their positions in the timeline."""

    state: Object
    t: float
    entries: list[int]


Streams = dict[tuple[str, ...], list[_Unit]]


def compare(expected: Sequence[Entry], ours: Sequence[Entry], names: Mapping[str, str], result: Result) -> None:
    """Count every expected entry as equal or different."""
    theirs, mine = _streams(expected, {}), _streams(ours, names)
    end = max((entry.t for entry in expected), default=0.0)
    wrong: set[int] = set()
    for key, units in theirs.items():
        for unit, what in _compare_stream(units, mine.get(key, []), end):
            wrong.update(unit.entries)
            result.details.append(f"{' '.join(key)} at {unit.t:.1f} s: {what}")
    result.different += len(wrong)
    result.equal += len(expected) - len(wrong)
    for key, units in mine.items():
        if key not in theirs and units[0].t < end:
            result.details.append(f"{' '.join(key)}: not in the recording: {_shown(units[0].state)}")


def _streams(entries: Iterable[Entry], names: Mapping[str, str]) -> Streams:
    streams: Streams = {}
    endpoints: dict[str, Object] = {}
    for position, entry in enumerate(entries):
        if entry.resource == "endpointslices":
            changes: Iterable[tuple[tuple[str, ...], Object]] = normal.endpoint_changes(entry, names, endpoints)
        else:
            changes = [(normal.stream(entry, names), normal.state(entry, names))]
        for key, state in changes:
            units = streams.setdefault(key, [])
            same = _same_before(units, state)
            if same is None:
                units.append(_Unit(state, entry.t, [position]))
            else:
                same.entries.append(position)
    return streams


def _same_before(units: list[_Unit], state: Object) -> _Unit | None:
    """An earlier unit that says the same: the last one, or one of the repeated events since the last other event."""
    for unit in reversed(units):
        if {**unit.state, "change": ""} == {**state, "change": ""} and unit.state.get("change") != "DELETED":
            return unit if state.get("change") != "DELETED" else None
        if not unit.state.get("repeated"):
            return None
    return None


def _compare_stream(theirs: list[_Unit], mine: list[_Unit], end: float) -> Iterator[tuple[_Unit, str]]:
    matcher = difflib.SequenceMatcher(None, [_key(u) for u in theirs], [_key(u) for u in mine], autojunk=False)
    partners = {b.a + n: b.b + n for b in matcher.get_matching_blocks() for n in range(b.size)}
    position = 0
    for index, unit in enumerate(theirs):
        partner = partners.get(index)
        if partner is None:
            yield unit, _missing(unit, mine, position, partners)
            continue
        extras = mine[position:partner] if index - 1 in partners or index == 0 else []
        if late := _late(mine, partner):
            yield unit, late
        elif extras:
            yield unit, f"{len(extras)} more before it, first at {extras[0].t:.1f} s: {_shown(extras[0].state)}"
        position = partner + 1
    rest = [unit for unit in mine[position:] if unit.t < end]
    if rest and not any(normal.is_repeating(unit.state) for unit in mine):
        yield theirs[-1], f"{len(rest)} more after it, first at {rest[0].t:.1f} s: {_shown(rest[0].state)}"


def _key(unit: _Unit) -> str:
    return json.dumps(unit.state, sort_keys=True)


def _missing(unit: _Unit, mine: list[_Unit], position: int, partners: Mapping[int, int]) -> str:
    taken = set(partners.values())
    candidate = next((m for n, m in enumerate(mine[position:], position) if n not in taken), None)
    if candidate is None:
        return f"missing: {_shown(unit.state)}"
    return "; ".join(_differences(unit.state, candidate.state)) + f" (ours at {candidate.t:.1f} s)"


def _differences(theirs: Object, mine: Object, path: str = "") -> Iterator[str]:
    for key in {**theirs, **mine}:
        a, b = theirs.get(key), mine.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, f"{path}{key}.")
        else:
            yield f"{path}{key}: {json.dumps(a)} not {json.dumps(b)}"


def _shown(state: Object) -> str:
    return ", ".join(f"{k}={json.dumps(v)}" for k, v in state.items() if v not in (None, "", {}, []))[:300]


def _late(mine: list[_Unit], partner: int) -> str:
    """What is wrong with the length of a back-off that ends here, if anything."""
    for group in ("initContainers", "containers"):
        for name, now in (mine[partner].state.get(group) or {}).items():
            seconds = _back_off_seconds(mine[partner - 1], group, name) if partner else None
            if seconds is None or "running" not in now["state"]:
                continue
            taken = mine[partner].t - _ended(mine, partner, group, name)
            if abs(taken - seconds) > SLACK_SECONDS:
                return f"the back-off of {seconds} s of {name} took {taken:.1f} s"
    return ""


def _back_off_seconds(unit: _Unit, group: str, name: str) -> int | None:
    state = ((unit.state.get(group) or {}).get(name) or {}).get("state") or {}
    match = _BACK_OFF.search((state.get("waiting") or {}).get("message") or "")
    return int(match["minutes"] or 0) * 60 + int(match["seconds"]) if match else None


def _ended(mine: list[_Unit], position: int, group: str, name: str) -> float:
    """When the container ended before a back-off: seen as terminated, or else as waiting."""
    position -= 1
    while position and _back_off_seconds(mine[position - 1], group, name) is not None:
        position -= 1
    before = mine[position - 1].state[group][name]["state"] if position else {}
    return mine[position - 1].t if "terminated" in before else mine[position].t
