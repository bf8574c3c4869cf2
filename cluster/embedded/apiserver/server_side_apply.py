"""Server-side apply: a manager states the fields it wants; the server merges, detects conflicts, records ownership.

(Kubernetes documentation, "Server-Side Apply"; the merge is structured-merge-diff's.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.changes import compare
from cluster.embedded.apiserver.field_sets import (
    FieldSet,
    difference,
    entry_key,
    field_set,
    intersection,
    is_member,
    paths,
    union,
)
from cluster.embedded.apiserver.managed_fields import Entries, Manager, in_order
from cluster.embedded.apiserver.schema import ANY, Type
from cluster.embedded.client import ApiError
from cluster.embedded.resources import Object

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Applied:
    """The merged object (not yet normalised) and its new managedFields."""

    object: Object
    entries: Entries


def apply(
    type_: Type, live: Object, config: Object, entries: Entries, manager: Manager, *, force: bool, now: str
) -> Applied:
    """Merge a configuration into the live object.

    Args:
        type_: the type of both.
        live: the tracked part of the live object, ``{}`` for a new one.
        config: the tracked part of the configuration.
        entries: managedFields of the live object.
        manager: who applies.
        force: take fields from other managers instead of failing.
        now: RFC 3339 time.

    Raises:
        ApiError: 409 with a cause for each field that another manager owns.
    """
    stated = field_set(type_, config)
    before: FieldSet = next((e["fieldsV1"] for e in entries if Manager.of(e) == manager), {})
    others = [entry for entry in entries if Manager.of(entry) != manager]
    merged = merge(type_, live, config)
    if before:
        keep = stated
        for entry in others:
            keep = union(keep, entry["fieldsV1"])
        merged = _prune(type_, merged, before, keep)
    changes = compare(type_, live, merged)
    if not force:
        contested = changes.set
        if manager.name == KUBECTL:
            contested = difference(contested, _applied_client_side(type_, live))
        _check_conflicts(others, contested)
    kept = [_reduced(entry, changes.set, changes.removed) for entry in others]
    own = next((e for e in entries if Manager.of(e) == manager), {})
    time = now if changes.set or changes.removed else own.get("time", "")
    mine = [manager.entry(stated, time)] if stated else []
    return Applied(merged, in_order([*mine, *(entry for entry in kept if entry["fieldsV1"])]))


def check_configuration(type_: Type, config: Object, described: str) -> None:
    """Refuse what the schema does not have. Raises ApiError 500, as a real server does.

    Args:
        type_: the type of the configuration.
        config: the configuration as sent.
        described: what the message calls it, such as ``system/web; apps/v1, Kind=Deployment``.
    """
    for problem in _problems(type_, config, ""):
        raise status.internal_error(f"failed to create typed patch object ({described}): {problem}")


def _problems(type_: Type, value: Any, path: str) -> Iterator[str]:
    if type_.kind in ("struct", "map") and isinstance(value, dict):
        for key, item in value.items():
            if type_.kind == "struct" and key not in type_.fields:
                yield f"{path}.{key}: field not declared in schema"
            elif item is not None:
                yield from _problems(type_.child(key), item, f"{path}.{key}")
    elif type_.kind == "list" and isinstance(value, list):
        yield from _list_problems(type_, value, path)
    elif (expected := _expected(type_, value)) is not None:
        yield f"{path}: expected {expected}, got {value!r}"


def _list_problems(type_: Type, value: list[Any], path: str) -> Iterator[str]:
    seen: FieldSet = {}
    for index, item in enumerate(value):
        key = entry_key(type_, item) if type_.associative else str(index)
        place = paths({key: {}})[0] if type_.associative else f"[{index}]"
        if key in seen:
            yield f"{path}: duplicate entries for key {place}"
        seen[key] = {}
        yield from _problems(type_.element or ANY, item, path + place)


def _expected(type_: Type, value: Any) -> str | None:
    if type_.kind in ("struct", "map"):
        return "map"
    if type_.kind == "list":
        return "list"
    if type_.kind in ("string", "time", "bytes"):
        return None if isinstance(value, str) else "string"
    if type_.kind in ("int32", "int64", "number"):
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "numeric (int or float)"
    if type_.kind == "bool":
        return None if isinstance(value, bool) else "boolean"
    return None


def merge(type_: Type, live: Any, config: Any) -> Any:
    """The live value with the configuration merged in; neither is changed."""
    if type_.atomic or config is None:
        return config
    if type_.kind in ("struct", "map") and isinstance(live, dict) and isinstance(config, dict):
        result = dict(live)
        for key, item in config.items():
            result[key] = merge(type_.child(key), live[key], item) if key in live else item
        return result
    if type_.associative and isinstance(live, list) and isinstance(config, list):
        return _merge_list(type_, live, config)
    return live if live == config and live.__class__ is config.__class__ else config


def _merge_list(type_: Type, live: list[Any], config: list[Any]) -> list[Any]:
    """Shared entries in the order of the configuration, the others where they were."""
    element = type_.element or ANY
    ours = {entry_key(type_, item): item for item in live}
    theirs = {entry_key(type_, item): item for item in config}
    merged: list[Any] = []
    pending = list(theirs.items())
    for key, item in ours.items():
        if key not in theirs:
            merged.append(item)
            continue
        while pending and pending[0][0] not in ours:
            merged.append(pending.pop(0)[1])
        name, change = pending.pop(0)
        merged.append(merge(element, ours[name], change))
    return merged + [change for _, change in pending]


def _prune(type_: Type, value: Any, before: FieldSet, keep: FieldSet) -> Any:
    """A value without what the manager stated before and nobody states now."""
    if type_.associative and isinstance(value, list):
        return [
            item if (node := before.get(key := entry_key(type_, item))) is None
            else _prune(type_.element or ANY, item, node, keep[key])
            for item in value
            if not _gone(before.get(entry_key(type_, item)), keep.get(entry_key(type_, item)), named=False)
        ]  # fmt: skip
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for key, node in before.items():
        name = key[2:]
        if key == "." or name not in result:
            continue
        kept = keep.get(key)
        if _gone(node, kept, named=type_.kind == "struct"):
            del result[name]
        elif node and kept is not None:
            result[name] = _prune(type_.child(name), result[name], node, kept)
    return result


def _gone(node: FieldSet | None, kept: FieldSet | None, *, named: bool) -> bool:
    return node is not None and kept is None and (named or is_member(node))


def _reduced(entry: dict[str, Any], changed: FieldSet, removed: FieldSet) -> dict[str, Any]:
    fields = entry["fieldsV1"]
    left = difference(difference(fields, changed), removed)
    return entry if left == fields else {**entry, "fieldsV1": left}


def _applied_client_side(type_: Type, live: Object) -> FieldSet:
    """What client-side ``kubectl apply`` set and nobody changed since: its server-side form takes that over."""
    text = live.get("metadata", {}).get("annotations", {}).get(LAST_APPLIED, "")
    try:
        last = json.loads(text)
        if any(_problems(type_, {k: v for k, v in last.items() if k not in ("apiVersion", "kind")}, "")):
            return {}
        fields = field_set(type_, last)
        since = compare(type_, last, live)
    except (ValueError, AttributeError):
        return {}
    fields = difference(difference(fields, since.set), since.removed)
    return union(fields, {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}})


def _check_conflicts(others: Entries, changed: FieldSet) -> None:
    conflicts = [
        (str(Manager.of(entry)), path) for entry in others for path in paths(intersection(entry["fieldsV1"], changed))
    ]
    if conflicts:
        raise _conflict(sorted(conflicts))


def _conflict(conflicts: list[tuple[str, str]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in conflicts
    ]
    if len(conflicts) == 1:
        text = f"Apply failed with 1 conflict: conflict with {conflicts[0][0]}: {conflicts[0][1]}"
    else:
        lines = []
        for manager in dict.fromkeys(manager for manager, _ in conflicts):
            lines.append(f"conflicts with {manager}:")
            lines.extend(f"- {path}" for owner, path in conflicts if owner == manager)
        text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return status.failure(409, "Conflict", text, {"causes": causes})
