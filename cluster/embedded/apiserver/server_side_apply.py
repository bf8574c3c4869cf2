"""Server-side apply, and the managedFields that it rests on. Source: Kubernetes, "Server-Side Apply"."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from cluster.embedded.apiserver import field_sets
from cluster.embedded.apiserver.field_sets import ABSENT, Path
from cluster.embedded.apiserver.schema import Field, TypeSchema, field, inner, item_key
from cluster.embedded.resources import Object


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another manager owns with another value."""

    manager: str
    path: Path

    @property
    def text(self) -> str:
        """The path as the API writes it: ``.spec.replicas``, ``.spec.ports[port=80,protocol="TCP"]``."""
        return "".join(
            f".{name[2:]}" if name.startswith("f:") else f"[{_keys(name)}]" for name in self.path if name != "."
        )


class ApplyConflict(ValueError):
    """Fields are owned by others; nothing was changed."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


def apply(live: Object | None, applied: Object, schema: TypeSchema, *, manager: str, force: bool, time: str) -> Object:
    """The object after an apply by a manager. Raises ApplyConflict.

    Fields that the manager applied before and leaves out now are removed, unless somebody else owns them too.
    """
    wanted = field_sets.leaves(field_sets.of_object(applied, schema))
    entries = list((live or {}).get("metadata", {}).get("managedFields") or [])
    mine = next((e for e in entries if _is_apply(e, manager)), None)
    others = [e for e in entries if e is not mine and not e.get("subresource")]
    conflicts = _conflicts(live, applied, wanted, others, schema)
    if conflicts and not force:
        raise ApplyConflict(conflicts)
    result = _merge(copy.deepcopy(live) if live else {}, applied, schema)
    before = field_sets.leaves(mine["fieldsV1"]) if mine else set()
    owned_elsewhere = {path for e in others for path in field_sets.leaves(e["fieldsV1"])}
    still_set = {path[:length] for path in wanted for length in range(1, len(path))}
    for path in sorted(before - wanted - owned_elsewhere - still_set, key=_items_first):
        field_sets.remove(result, path, schema)
    taken = {conflict.path for conflict in conflicts}
    kept = [_without(e, taken) for e in entries if e is not mine]
    entry = _entry(manager, "Apply", result.get("apiVersion", ""), wanted, time)
    if mine is not None and mine["fieldsV1"] == entry["fieldsV1"]:
        entry["time"] = mine["time"]
    result["metadata"]["managedFields"] = [entry, *(e for e in kept if e)]
    return dict(result)


def track_update(
    old: Object | None, new: Object, schema: TypeSchema, *, manager: str, time: str, subresource: str
) -> None:
    """Make a manager the owner of what its update set or changed, in place."""
    after = field_sets.leaves(field_sets.of_object(new, schema))
    changed = {path for path in after if old is None or _value(old, path, schema) != _value(new, path, schema)}
    entries = list((old or {}).get("metadata", {}).get("managedFields") or [])

    def is_mine(entry: dict[str, Any]) -> bool:
        return (entry["manager"], entry["operation"], entry.get("subresource", "")) == (manager, "Update", subresource)

    result = []
    for entry in entries:
        owned = field_sets.leaves(entry["fieldsV1"])
        left = owned & after if is_mine(entry) else (owned & after) - changed
        if is_mine(entry):
            changed |= left
        elif left == owned:
            result.append(entry)
        elif left:
            result.append({**entry, "fieldsV1": field_sets.from_leaves(left)})
    if changed:
        entry = _entry(manager, "Update", new.get("apiVersion", ""), changed, time)
        result.append({**entry, **({"subresource": subresource} if subresource else {})})
    new["metadata"]["managedFields"] = result


def _conflicts(
    live: Object | None, applied: Object, wanted: set[Path], others: list[dict[str, Any]], schema: TypeSchema
) -> list[Conflict]:
    if live is None:
        return []
    return [
        Conflict(entry["manager"], path)
        for entry in others
        for path in sorted(wanted & field_sets.leaves(entry["fieldsV1"]))
        if _value(live, path, schema) != _value(applied, path, schema)
    ]


def _merge(live: Any, applied: dict[str, Any], schema: TypeSchema) -> Any:
    result = live if isinstance(live, dict) else {}
    for key, value in applied.items():
        result[key] = _merge_field(result.get(key), value, field(schema, key))
    return result


def _merge_field(old: Any, new: Any, described: Field) -> Any:
    kind = described["k"]
    if isinstance(new, dict) and kind == "o":
        return _merge(old, new, inner(described))
    if isinstance(new, dict) and kind == "m" and isinstance(old, dict):
        return {**old, **new}
    if isinstance(new, list) and isinstance(old, list) and kind == "l":
        if described["t"] == "set":
            return [*old, *(item for item in new if item not in old)]
        if described["t"] == "map":
            return _merge_list(old, new, described)
    return new


def _merge_list(old: list[Any], new: list[Any], described: Field) -> list[Any]:
    keys, within = described.get("keys") or [], inner(described)
    known = {item_key(item, keys): item for item in old}
    merged = {item_key(item, keys): _merge(known.get(item_key(item, keys)), item, within) for item in new}
    return [*merged.values(), *(item for key, item in known.items() if key not in merged)]


def _value(obj: Object, path: Path, schema: TypeSchema) -> Any:
    found = field_sets.get(obj, path, schema)
    return None if found is ABSENT else found


def _items_first(path: Path) -> tuple[int, bool]:
    """Short paths first, and a list item itself before its fields: without its keys it could not be found any more."""
    return len(path), path[-1] != "."


def _is_apply(entry: dict[str, Any], manager: str) -> bool:
    return bool(entry["manager"] == manager and entry["operation"] == "Apply" and not entry.get("subresource"))


def _without(entry: dict[str, Any], taken: set[Path]) -> dict[str, Any] | None:
    owned = field_sets.leaves(entry["fieldsV1"])
    left = owned - taken
    if left == owned:
        return entry
    return {**entry, "fieldsV1": field_sets.from_leaves(left)} if left else None


def _entry(manager: str, operation: str, api_version: str, paths: set[Path], time: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": field_sets.from_leaves(paths),
    }


def _keys(name: str) -> str:
    import json

    content = json.loads(name[2:])
    if not isinstance(content, dict):
        return f"={json.dumps(content)}"
    return ",".join(f"{key}={json.dumps(value)}" for key, value in content.items())
