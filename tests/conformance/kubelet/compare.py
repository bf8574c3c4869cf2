"""Compares what a cluster did with a recording, entry by entry."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.embedded.resources import Object
from tests.conformance.kubelet import normal
from tests.conformance.kubelet.recording import Entry, Recording

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
    """Entries in a row that show the same thing after normalising."""

    state: Object
    key: str
    t: float
    size: int = 1
    last: float = 0.0


def compare(
    recording: Recording, expected: Sequence[Entry], ours: Sequence[Entry], names: Mapping[str, str], result: Result
) -> None:
    """Count every expected entry as equal or different."""
    theirs, mine = _streams(expected, {}), _streams(ours, names)
    for key, units in theirs.items():
        _compare_stream(" ".join(key), units, mine.get(key, []), result)
    end = max((entry.t for entry in recording.timeline), default=0.0)
    for key, units in mine.items():
        if key not in theirs and units[0].t < end and key[0] != "nodes":
            result.details.append(f"{' '.join(key)}: not in the recording: {_shown(units[0].state)}")


def _streams(entries: Iterable[Entry], names: Mapping[str, str]) -> dict[tuple[str, str], list[_Unit]]:
    streams: dict[tuple[str, str], list[_Unit]] = {}
    for entry in entries:
        units = streams.setdefault(normal.stream(entry, names), [])
        state = normal.state(entry, names)
        key = json.dumps(state, sort_keys=True)
        if units and _says_the_same(units[-1], key, state):
            units[-1].size += 1
            units[-1].last = entry.t
        else:
            units.append(_Unit(state, key, entry.t, last=entry.t))
    return streams


def _says_the_same(before: _Unit, key: str, state: Object) -> bool:
    if before.key == key:
        return True
    return {**before.state, "change": ""} == {**state, "change": ""} and before.state["change"] != "ADDED"


def _compare_stream(name: str, theirs: list[_Unit], mine: list[_Unit], result: Result) -> None:
    matcher = difflib.SequenceMatcher(None, [u.key for u in theirs], [u.key for u in mine], autojunk=False)
    pairs = [(b.a + n, b.b + n) for b in matcher.get_matching_blocks() for n in range(b.size)]
    partners = dict(pairs)
    next_mine = 0
    for index, unit in enumerate(theirs):
        partner = partners.get(index)
        if partner is None:
            result.different += unit.size
            result.details.append(f"{name} at {unit.t:.1f} s: {_missing(unit, mine, next_mine, partners)}")
            continue
        extras = mine[next_mine:partner] if index - 1 in partners or index == 0 else []
        late = _late(mine, partner)
        if extras or late:
            result.different += unit.size
            what = late or f"{len(extras)} more before it, first at {extras[0].t:.1f} s: {_shown(extras[0].state)}"
            result.details.append(f"{name} at {unit.t:.1f} s: {what}")
        else:
            result.equal += unit.size
        next_mine = partner + 1


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
