"""Two bodies, compared after normalising: what is different, path by path."""

from __future__ import annotations

from typing import Any

from tests.conformance import normalise
from tests.conformance.discovery import present

_TRIMMED = ("chars>", "<volatile>", "<not recorded", "bytes not recorded>", "<same as")
_MISSING = object()


def differences(recorded: Any, actual: Any, *, partial: bool = False) -> list[str]:
    """Where the bodies differ, as texts.

    Args:
        partial: whether the recorded one was cut, so that only what it has is compared.
    """
    partial = partial or (isinstance(recorded, dict) and (bool(recorded.get("_reduced")) or _is_cut_object(recorded)))
    found: list[str] = []
    _compare(normalise.body(present(recorded)), normalise.body(actual), "", found, partial=partial, raw=recorded)
    return found


def _compare(recorded: Any, actual: Any, path: str, found: list[str], *, partial: bool, raw: Any = None) -> None:
    if recorded == actual:
        return
    if isinstance(recorded, str) and any(mark in recorded for mark in _TRIMMED):
        return
    if isinstance(recorded, dict) and isinstance(actual, dict):
        _mappings(recorded, actual, path, found, partial=partial, raw=raw)
    elif isinstance(recorded, list) and isinstance(actual, list) and path.endswith(".managedFields"):
        _managers(recorded, actual, path, found)
    elif isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        for index, (one, other) in enumerate(zip(recorded, actual, strict=True)):
            _compare(one, other, f"{path}[{index}]", found, partial=partial)
    else:
        found.append(f"{path or '.'}: recorded {_short(recorded)}, got {_short(actual)}")


def _mappings(
    recorded: dict[str, Any], actual: dict[str, Any], path: str, found: list[str], *, partial: bool, raw: Any
) -> None:
    row = path.startswith(".rows[") and path.endswith(".object")
    listed = path.startswith(".items[") and path.count("[") == 1 and path.endswith("]")
    reduced = partial or (isinstance(raw, dict) and bool(raw.get("_reduced"))) or row or (listed and _is_cut(recorded))
    keys = recorded if reduced else {**recorded, **actual}
    for key in keys:
        one, other = recorded.get(key, _MISSING), actual.get(key, _MISSING)
        if reduced and (one is None or one == []) and other is _MISSING:
            continue  # what the recorder cut down to nothing
        if one is _MISSING:
            found.append(f"{path}.{key}: not recorded, got {_short(other)}")
        elif other is _MISSING:
            found.append(f"{path}.{key}: recorded {_short(one)}, got nothing")
        else:
            _compare(one, other, f"{path}.{key}", found, partial=reduced)


def _is_cut_object(body: dict[str, Any]) -> bool:
    """An object of which the recording kept a part: a server never leaves out when it was created."""
    metadata = body.get("metadata")
    stored = isinstance(metadata, dict) and "resourceVersion" in metadata and "name" in metadata
    return stored and "creationTimestamp" not in metadata and body.get("kind") != "Scale"


def _is_cut(item: dict[str, Any]) -> bool:
    """Items of lists are often recorded as their identity alone, and always without managedFields or kind."""
    metadata = item.get("metadata") or {}
    return "creationTimestamp" not in metadata or set(item) <= {"metadata", "status"}


def _managers(recorded: list[Any], actual: list[Any], path: str, found: list[str]) -> None:
    """Entries without ``fieldsV1`` were reduced when recorded."""
    if all("fieldsV1" not in entry for entry in recorded):
        kept = ("manager", "operation", "subresource", "apiVersion")
        actual = [{key: entry[key] for key in kept if key in entry} for entry in actual]
    if recorded != actual:
        found.append(f"{path}: recorded {_short(recorded)}, got {_short(actual)}")


def _short(value: Any) -> str:
    shown = "nothing" if value is _MISSING else repr(value)
    return shown if len(shown) < 400 else shown[:400] + "..."
