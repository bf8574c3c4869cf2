"""Two bodies, compared after normalising: what is different, path by path.

Only what the recordings' README calls volatile is normalised (``normalise.py``) and only what a recorder cut is left
out (``trimming.py``). Lists of objects are compared as they are ordered by a server: by namespace and name. Where
names are generated the order says nothing, and equal ones are matched with each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.conformance import normalise, trimming
from tests.conformance.discovery import present

_CUT_TEXT = re.compile(r"\.\.\.<\d+ chars>$")
_NOT_RECORDED = re.compile(r"^<(volatile|not recorded|jwt|same as .*|protobuf .*)>$")
_MISSING = object()
_LISTED = {"items", "rows"}

Pair = Callable[[Any, Any], tuple[Any, Any]]


def differences(recorded: Any, actual: Any) -> list[str]:
    """Where a body differs from the recorded one, as texts; empty when they are equal."""
    return _differences(present(recorded), present(actual), trimming.pair)


def event_differences(recorded: Any, actual: Any) -> list[str]:
    """The same for the object of a watch event."""
    return _differences(recorded, actual, trimming.watched)


def _differences(recorded: Any, actual: Any, pair: Pair) -> list[str]:
    found: list[str] = []
    if not isinstance(recorded, dict) or not isinstance(actual, dict):
        _compare(normalise.body(recorded), normalise.body(actual), "", found)
        return found
    one, other = pair(recorded, actual)
    for key in _LISTED & set(one):
        if isinstance(one[key], list) and isinstance(other.get(key), list):
            one, other = _listed(key, one, other, found)
    _compare(normalise.body(one), normalise.body(other), "", found)
    return found


def _listed(key: str, recorded: Any, actual: Any, found: list[str]) -> tuple[Any, Any]:
    """Both bodies without the entries of a list, which are compared here."""
    ones, others = recorded[key], actual[key]
    if _sorted(ones) and not _sorted(others):
        found.append(f".{key}: not in the order of namespace and name: {[_name(o) for o in others]}")
    if not _sorted(ones) and [_shape(o) for o in ones] != [_shape(o) for o in others]:
        found.append(f".{key}: recorded in the order {[_shape(o) for o in ones]}, got {[_shape(o) for o in others]}")
    columns = recorded.get("columnDefinitions") or actual.get("columnDefinitions") or []
    left = list(enumerate(others))
    for index, one in enumerate(ones):
        if not (candidates := [entry for entry in left if _shape(entry[1]) == _shape(one)]):
            found.append(f".{key}[{index}] {_shape(one)}: recorded, not found")
            continue
        problems, nearest = min(
            ((_entry(key, columns, one, candidate[1]), candidate) for candidate in candidates), key=lambda c: len(c[0])
        )
        left.remove(nearest)
        found += [f".{key}[{index}]{problem}" for problem in problems]
    found += [f".{key}: {_shape(other)} is not recorded" for _, other in left]
    return {**recorded, key: []}, {**actual, key: []}


def _entry(key: str, columns: list[Any], recorded: Any, actual: Any) -> list[str]:
    found: list[str] = []
    if key == "rows" and isinstance(recorded, dict) and isinstance(actual, dict):
        one, other = trimming.pair(recorded.get("object"), actual.get("object"))
        _compare(
            normalise.row({**recorded, "object": one}, columns),
            normalise.row({**actual, "object": other}, columns),
            "",
            found,
        )
    else:
        one, other = trimming.pair(recorded, actual)
        _compare(normalise.value(one), normalise.value(other), "", found)
    return found


def _metadata(entry: Any) -> dict[str, Any]:
    obj = entry.get("object") or entry if isinstance(entry, dict) else {}
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _name(entry: Any) -> tuple[str, str]:
    metadata = _metadata(entry)
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _sorted(entries: list[Any]) -> bool:
    names = [_name(entry) for entry in entries]
    return names == sorted(names)


def _shape(entry: Any) -> tuple[str, ...]:
    """Name without what is generated; of a row of a table without an object its first cell."""
    namespace, name = _name(entry)
    if not name and isinstance(entry, dict):
        return (json.dumps((entry.get("cells") or [""])[:1]),)
    return namespace, normalise.generated(name)


def _compare(recorded: Any, actual: Any, path: str, found: list[str]) -> None:
    if recorded == actual and type(recorded) is type(actual):
        return
    if isinstance(recorded, str) and _is_cut(recorded, actual):
        return
    if isinstance(recorded, dict) and isinstance(actual, dict):
        for key in {**recorded, **actual}:
            if key not in recorded:
                found.append(f"{path}.{key}: not recorded, got {_short(actual[key])}")
            elif key not in actual:
                found.append(f"{path}.{key}: recorded {_short(recorded[key])}, got nothing")
            else:
                _compare(recorded[key], actual[key], f"{path}.{key}", found)
    elif isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        for index, (one, other) in enumerate(zip(recorded, actual, strict=True)):
            _compare(one, other, f"{path}[{index}]", found)
    else:
        found.append(f"{path or '.'}: recorded {_short(recorded)}, got {_short(actual)}")


def _is_cut(recorded: str, actual: Any) -> bool:
    """Whether only a part of a text was recorded, and that part is here too."""
    if _NOT_RECORDED.match(recorded):
        return actual is not None
    cut = _CUT_TEXT.search(recorded)
    return bool(cut) and isinstance(actual, str) and actual.startswith(recorded[: cut.start()] if cut else recorded)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) < 400 else shown[:400] + "..."
