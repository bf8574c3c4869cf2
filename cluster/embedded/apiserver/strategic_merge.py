"""Strategic merge patch. Source: Kubernetes, "Strategic Merge Patch" (api-machinery), recording patches."""

from __future__ import annotations

from typing import Any

from cluster.embedded.apiserver.schema import Field, TypeSchema, field, inner

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


class PatchError(ValueError):
    """The patch cannot be applied; the text is what the API would say."""


def strategic_merge(target: Any, patch: dict[str, Any], schema: TypeSchema) -> Any:
    """The target with a patch applied, lists merged by their keys. Raises PatchError."""
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    if retained := patch.get(_RETAIN):
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE)):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_field(result.get(key), value, field(schema, key))
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            if name in result:
                result[name] = _ordered(result[name], value, field(schema, name))
    return result


def _merge_field(old: Any, new: Any, described: Field) -> Any:
    if isinstance(new, dict):
        if described["k"] == "o":
            return strategic_merge(old, new, inner(described))
        return strategic_merge(old, new, {})
    if isinstance(new, list) and described["k"] == "l" and "p" in described:
        merge_key = described["p"]
        return _merge_list(old or [], new, described) if merge_key else _merge_set(old or [], new)
    return new


def _merge_set(old: list[Any], new: list[Any]) -> list[Any]:
    return [*old, *(item for item in new if item not in old)]


def _merge_list(old: list[Any], new: list[Any], described: Field) -> list[Any]:
    """Items of the patch first, in its order, then the old ones that it does not name."""
    key = described["p"]
    if any(isinstance(item, dict) and item == {_DIRECTIVE: "replace"} for item in new):
        return [item for item in new if item != {_DIRECTIVE: "replace"}]
    within = inner(described)
    deleted = {item.get(key) for item in new if item.get(_DIRECTIVE) == "delete"}
    known = {item.get(key): item for item in old}
    merged = []
    for item in new:
        if item.get(_DIRECTIVE) == "delete":
            continue
        if key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {key}")
        merged.append(strategic_merge(known.get(item[key]), item, within))
    named = {item[key] for item in merged} | deleted
    return [*merged, *(item for item in old if item.get(key) not in named)]


def _ordered(items: list[Any], order: list[Any], described: Field) -> list[Any]:
    key = described.get("p") or ""
    names = [entry.get(key) if isinstance(entry, dict) else entry for entry in order]
    rank = {name: position for position, name in enumerate(names)}

    def position(item: Any) -> int:
        return rank.get(item.get(key) if isinstance(item, dict) else item, len(rank))

    return sorted(items, key=position)
