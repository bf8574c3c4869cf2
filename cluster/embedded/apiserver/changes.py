"""What changed between two versions of an object, as field sets: the basis of managedFields and of apply conflicts.

The rules are structured-merge-diff's "Compare": atomic values change as a whole, entries of associative lists and
fields of maps one by one, and a new map or list is a member itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cluster.embedded.apiserver.field_sets import MISSING, FieldSet, entry_key
from cluster.embedded.apiserver.schema import ANY, Type


@dataclass(slots=True)
class Changes:
    """``set`` are paths added or modified, ``removed`` are paths that are gone."""

    set: FieldSet = field(default_factory=dict)
    removed: FieldSet = field(default_factory=dict)


def compare(type_: Type, old: Any, new: Any) -> Changes:
    """The changes from one object to another of the same type."""
    changes = Changes()
    changes.set, changes.removed = _compare(type_, old, new) or ({}, {})
    return changes


_Both = tuple[FieldSet, FieldSet]


def _compare(type_: Type, old: Any, new: Any) -> _Both | None:
    """Set and removed fields below a place; None when nothing changed."""
    if old is new:
        return None
    pair = _children(type_, old, new)
    if pair is None:
        return _leaf(old, new)
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key, child, before, after in pair:
        if before is after or (before == after and before.__class__ is after.__class__):
            continue
        below = _compare(child, before, after)
        if below is not None:
            _put(changed, key, below[0], added=before is MISSING)
            _put(removed, key, below[1], added=after is MISSING)
    return (changed, removed) if changed or removed else None


_LEAF: FieldSet = {".": {}}


def _put(fields: FieldSet, key: str, below: FieldSet, *, added: bool) -> None:
    if below is _LEAF:
        fields[key] = {}
    elif added:
        fields[key] = {".": {}, **below} if below else {}
    elif below:
        fields[key] = below


def _leaf(old: Any, new: Any) -> _Both | None:
    if new is MISSING:
        return {}, _LEAF
    if old is not MISSING and old == new and old.__class__ is new.__class__:
        return None
    return _LEAF, {}


def _children(type_: Type, old: Any, new: Any) -> list[tuple[str, Type, Any, Any]] | None:
    """Pairs of what is below a place in both versions; None when the place is a leaf."""
    if type_.atomic or not (old or new) or (old is MISSING and not new) or (new is MISSING and not old):
        return None
    if type_.kind in ("struct", "map"):
        before, after = _as_dict(old), _as_dict(new)
        if not before and not after:
            return None
        keys = after if after.keys() == before.keys() else {**before, **after}
        return [(f"f:{k}", type_.child(k), before.get(k, MISSING), after.get(k, MISSING)) for k in keys]
    if type_.associative:
        before, after = _by_key(type_, old), _by_key(type_, new)
        element = type_.element or ANY
        return [(k, element, before.get(k, MISSING), after.get(k, MISSING)) for k in {**before, **after}] or None
    return None


def _as_dict(value: Any) -> dict[str, Any]:
    return value if value.__class__ is dict else {}


def _by_key(type_: Type, value: Any) -> dict[str, Any]:
    return {entry_key(type_, item): item for item in value} if value.__class__ is list else {}
