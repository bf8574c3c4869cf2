"""Sets of field paths in the shape of managedFields (FieldsV1), and how an object yields them.

A set is a nested dict. A key is ``f:NAME`` for a field, ``k:{...}`` for an entry of an associative list, ``v:...``
for a value of a set, or ``.`` for the place itself. An empty dict is a member; a dict with children is one only if
it has ``.``. Sets are never changed in place. (structured-merge-diff, "fieldpath.Set".)
"""

from __future__ import annotations

import json
from typing import Any

from cluster.embedded.apiserver.schema import ANY, Type, schema

FieldSet = dict[str, Any]

_MEMBER: FieldSet = {}
MISSING: Any = object()


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of either set."""
    if not right or left is right:
        return left
    if not left:
        return right
    result = dict(left)
    for key, theirs in right.items():
        ours = result.get(key)
        result[key] = theirs if ours is None else _joined(ours, theirs)
    return result


def _joined(ours: FieldSet, theirs: FieldSet) -> FieldSet:
    """The union of two nodes; a leaf and an inner node make an inner node that is a member."""
    if not ours:
        return theirs if not theirs or "." in theirs else {".": {}, **theirs}
    if not theirs:
        return ours if "." in ours else {".": {}, **ours}
    return union(ours, theirs)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of the left set that are not in the right one."""
    if not right:
        return left
    result: FieldSet = {}
    for key, ours in left.items():
        theirs = right.get(key)
        if theirs is None:
            result[key] = ours
        elif (rest := _without(ours, theirs)) is not None:
            result[key] = rest
    return result


def _without(ours: FieldSet, theirs: FieldSet) -> FieldSet | None:
    """What is left of a node, None when nothing is."""
    member = is_member(ours) and not is_member(theirs)
    children = difference(_children(ours), _children(theirs))
    if not children:
        return {} if member else None
    return {".": {}, **children} if member else children


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of both sets."""
    result: FieldSet = {}
    for key, ours in left.items():
        theirs = right.get(key)
        if theirs is None or key == ".":
            continue
        member = is_member(ours) and is_member(theirs)
        children = intersection(ours, theirs)
        if children:
            result[key] = {".": {}, **children} if member else children
        elif member:
            result[key] = {}
    return result


def is_member(node: FieldSet) -> bool:
    """Whether the place of a node itself is in the set."""
    return not node or "." in node


def _children(node: FieldSet) -> FieldSet:
    return {key: child for key, child in node.items() if key != "."} if "." in node else node


def paths(fields: FieldSet, prefix: str = "") -> list[str]:
    """The members as texts, such as ``.spec.containers[name="a"].image``."""
    result = []
    for key in sorted(fields):
        if key == ".":
            continue
        path = prefix + _element(key)
        if is_member(fields[key]):
            result.append(path)
        result.extend(paths(fields[key], path))
    return result


def _element(key: str) -> str:
    kind, _, text = key.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "k":
        pairs = json.loads(text).items()
        return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(pairs)) + "]"
    return f"[={text}]"


def entry_key(type_: Type, item: Any) -> str:
    """The key of an entry of an associative list or a set."""
    if not type_.keys:
        return "v:" + json.dumps(item, separators=(",", ":"))
    defaults = schema().key_defaults
    values = {name: item.get(name, defaults.get(name)) for name in type_.keys} if isinstance(item, dict) else {}
    present = {name: value for name, value in sorted(values.items()) if value is not None}
    return "k:" + json.dumps(present, separators=(",", ":"))


def field_set(type_: Type, value: Any) -> FieldSet:
    """The paths that a configuration states: its leaves, the entries of its lists, the keys of its maps."""
    if value.__class__ is dict and not type_.atomic and type_.kind in ("struct", "map"):
        return {f"f:{key}": _stated(type_, key, item) for key, item in value.items() if _states(type_, key, item)}
    if value.__class__ is list and type_.associative:
        element = type_.element or ANY
        return {entry_key(type_, item): _entry(field_set(element, item)) for item in value}
    return {}


def _stated(type_: Type, key: str, item: Any) -> FieldSet:
    child = type_.child(key)
    fields = field_set(child, item)
    return _entry(fields) if type_.kind == "map" and fields else fields


def _states(type_: Type, key: str, item: Any) -> bool:
    """An empty associative list states nothing."""
    return not (item == [] and type_.child(key).associative)


def _entry(fields: FieldSet) -> FieldSet:
    return {".": {}, **fields} if fields else fields
