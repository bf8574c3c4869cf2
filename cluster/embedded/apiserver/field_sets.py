"""Sets of fields, as managedFields write them (fieldsV1): who owns which part of an object.

``f:NAME`` is a field, ``k:{...}`` an item of a map list by its keys, ``v:VALUE`` an item of a set, ``.`` the item.
Source: Kubernetes, "Server-Side Apply".
"""

from __future__ import annotations

import json
from typing import Any

from cluster.embedded.apiserver.schema import Field, TypeSchema, field, inner, item_key

FieldSet = dict[str, Any]
Path = tuple[str, ...]
_IGNORED = ("apiVersion", "kind")
_IGNORED_METADATA = frozenset(
    {
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
        "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
    }
)  # fmt: skip


def of_object(obj: dict[str, Any], schema: TypeSchema) -> FieldSet:
    """The fields that an object sets, without those that nobody owns."""
    content = {key: value for key, value in obj.items() if key not in _IGNORED}
    if "metadata" in content:
        content["metadata"] = {k: v for k, v in content["metadata"].items() if k not in _IGNORED_METADATA}
        if not content["metadata"]:
            del content["metadata"]
    return _of_map(content, schema)


def _of_map(value: dict[str, Any], schema: TypeSchema) -> FieldSet:
    return {f"f:{key}": _of_field(item, field(schema, key)) for key, item in sorted(value.items())}


def _of_field(value: Any, described: Field) -> FieldSet:
    kind = described["k"]
    if kind == "o" and isinstance(value, dict) and value:
        return _of_map(value, inner(described))
    if kind == "m" and isinstance(value, dict):
        return {f"f:{key}": {} for key in sorted(value)}
    if kind == "l" and isinstance(value, list):
        return _of_list(value, described)
    return {}


def _of_list(value: list[Any], described: Field) -> FieldSet:
    if described["t"] == "set":
        return {"v:" + json.dumps(item): {} for item in value}
    if described["t"] == "map":
        keys, within = described.get("keys") or [], inner(described)
        return {
            "k:" + json.dumps(dict(zip(keys, item_key(item, keys), strict=True)), separators=(",", ":")): {
                ".": {}, **_of_map(item, within),
            }
            for item in value
        }  # fmt: skip
    return {}


def leaves(fields: FieldSet, prefix: Path = ()) -> set[Path]:
    """All paths that end somewhere, with ``.`` for list items themselves."""
    found: set[Path] = set()
    for name, below in fields.items():
        path = (*prefix, name)
        found |= leaves(below, path) if below else {path}
    return found


def from_leaves(paths: set[Path]) -> FieldSet:
    """The field set of some paths."""
    root: FieldSet = {}
    for path in sorted(paths):
        node = root
        for name in path:
            node = node.setdefault(name, {})
    return root


def get(obj: Any, path: Path, schema: TypeSchema) -> Any:
    """The value at a path, or `ABSENT`."""
    node, described = obj, {"k": "o"}
    current = schema
    for name in path:
        if name == ".":
            return True
        if name.startswith("f:"):
            key = name[2:]
            if not isinstance(node, dict) or key not in node:
                return ABSENT
            node, described = node[key], dict(field(current, key))
            current = inner(described) if described["k"] in ("o", "l") else {}
        else:
            node = _item(node, name, described)
            if node is ABSENT:
                return ABSENT
    return node


def remove(obj: Any, path: Path, schema: TypeSchema, described: Field | None = None) -> None:
    """Take what is at a path out of an object, in place; what becomes empty above a list item stays."""
    if not path or not isinstance(obj, dict | list):
        return
    name, rest = path[0], path[1:]
    if name.startswith("f:") and isinstance(obj, dict):
        key = name[2:]
        if key not in obj:
            return
        if not rest:
            del obj[key]
            return
        below = field(schema, key)
        remove(obj[key], rest, inner(below) if below["k"] in ("o", "l") else {}, below)
        if obj[key] in ({}, []):
            del obj[key]
    elif isinstance(obj, list) and described is not None:
        item = _item(obj, name, described)
        if item is ABSENT:
            return
        if rest in ((), (".",)):
            obj.remove(item)
        else:
            remove(item, rest, schema, None)


ABSENT = object()


def _item(node: Any, name: str, described: Field) -> Any:
    if not isinstance(node, list):
        return ABSENT
    wanted = json.loads(name[2:])
    if name.startswith("v:"):
        return wanted if wanted in node else ABSENT
    keys = list(wanted)
    return next((item for item in node if item_key(item, keys) == tuple(wanted.values())), ABSENT)
