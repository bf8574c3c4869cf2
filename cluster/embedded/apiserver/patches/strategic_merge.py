"""Strategic merge patch: lists merge by key, as the schema says, and directives steer the merge.

Directives (Kubernetes API conventions, "Strategic merge patch"): ``$patch: replace|delete|merge``, ``$retainKeys``,
``$setElementOrder/FIELD`` and ``$deleteFromPrimitiveList/FIELD``.
"""

from __future__ import annotations

from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.gotext import go_format
from cluster.embedded.apiserver.schema import Type

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def apply(target: dict[str, Any], patch: dict[str, Any], type_: Type) -> dict[str, Any]:
    """The target with the patch merged in. Neither argument is changed.

    Raises:
        ApiError: 500 for a list entry without its merge key or a wrong ``$setElementOrder``, 422 for a wrong type.
    """
    return _Merge(patch).struct(target, patch, type_)


class _Merge:
    def __init__(self, patch: dict[str, Any]) -> None:
        self._whole = patch

    def struct(self, target: dict[str, Any], patch: dict[str, Any], type_: Type) -> dict[str, Any]:
        directive = patch.get("$patch")
        if directive == "replace":
            return self.struct({}, {key: value for key, value in patch.items() if key != "$patch"}, type_)
        if directive == "delete":
            return {}
        if directive not in (None, "merge"):
            raise status.internal_error(f'Unknown patch type: "{directive}"')
        result = dict(target)
        for key, value in patch.items():
            if not key.startswith("$"):
                self._field(result, key, value, patch, type_.child(key))
        self._directives_without_field(result, patch, type_)
        if isinstance(retained := patch.get("$retainKeys"), list):
            return {key: value for key, value in result.items() if key in retained}
        return result

    def _field(self, result: dict[str, Any], key: str, value: Any, patch: dict[str, Any], type_: Type) -> None:
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif type_.kind == "list" and not isinstance(value, list):
            raise self._wrong_type("slice", value)
        elif isinstance(value, dict):
            result[key] = self.struct(old if isinstance(old, dict) else {}, value, type_)
        elif isinstance(value, list) and type_.kind == "list":
            result[key] = self._list_field(old, value, type_, patch, key)
        else:
            result[key] = value

    def _list_field(self, old: Any, value: list[Any], type_: Type, patch: dict[str, Any], key: str) -> list[Any]:
        if not isinstance(old, list):
            if (order := patch.get(_ORDER + key)) is not None and type_.merge_key:
                _check_order(value, order, type_.merge_key)
            fresh: list[Any] = _without_directives(value) if "merge" in type_.strategies else value
            return fresh
        return self._list(old, value, type_, patch.get(_ORDER + key), patch.get(_DELETE + key, ()))

    def _directives_without_field(self, result: dict[str, Any], patch: dict[str, Any], type_: Type) -> None:
        """An order or a deletion may come for a list that the patch does not set."""
        for directive in patch:
            prefix = next((p for p in (_ORDER, _DELETE) if directive.startswith(p)), "")
            name = directive.removeprefix(prefix)
            if prefix and name not in patch and isinstance(result.get(name), list):
                order, gone = patch.get(_ORDER + name), patch.get(_DELETE + name, ())
                result[name] = self._list(result[name], [], type_.child(name), order, gone)

    def _list(self, old: list[Any], patch: list[Any], type_: Type, order: Any, gone: Any) -> list[Any]:
        if "merge" not in type_.strategies:
            return patch
        if type_.merge_key:
            return self._keyed(old, patch, type_, order)
        kept = [item for item in old if item not in gone]
        merged = kept + [item for item in patch if item not in kept]
        return _ordered(merged, order or [], kept, lambda item: item) if order else merged

    def _keyed(self, old: list[Any], patch: list[Any], type_: Type, order: Any) -> list[Any]:
        key = type_.merge_key
        changes = [item for item in patch if not _is_replace(item)]
        for item in (*changes, *(order or ())):
            if not isinstance(item, dict):
                raise self._wrong_type("map", item)
            if key not in item:
                raise status.internal_error(f"map: {go_format(item)} does not contain declared merge key: {key}")
        if order is not None:
            _check_order(changes, order, key)
        replacing = len(changes) != len(patch)
        base = [] if replacing else old
        merged = self._merge_entries(base, changes, type_)
        wanted = order if order is not None else changes
        return _ordered(merged, [entry[key] for entry in wanted], [e.get(key) for e in base], lambda e: e.get(key))

    def _merge_entries(self, old: list[Any], changes: list[Any], type_: Type) -> list[Any]:
        key, element = type_.merge_key, type_.element
        assert element is not None
        merged = list(old)
        for change in changes:
            found = next((i for i, entry in enumerate(merged) if entry.get(key) == change[key]), None)
            if change.get("$patch") == "delete":
                merged = [entry for entry in merged if entry.get(key) != change[key]]
            elif found is None:
                merged.append(self.struct({}, change, element))
            else:
                merged[found] = self.struct(merged[found], change, element)
        return merged

    def _wrong_type(self, wanted: str, value: Any) -> Exception:
        found = {str: "string", bool: "bool", dict: "map", list: "slice", int: "int64", float: "float64"}
        problem = f"cannot restore {wanted} from {found.get(type(value), 'interface')}"
        return status.unusable_patch(go_format(self._whole), problem)


def _without_directives(value: Any) -> Any:
    """A value of the patch for which the target has nothing to merge with."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None and not key.startswith("$")}
        return {key: _without_directives(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not (isinstance(item, dict) and "$patch" in item)]
    return value


def _is_replace(item: Any) -> bool:
    return isinstance(item, dict) and item.get("$patch") == "replace"


def _check_order(changes: list[dict[str, Any]], order: list[Any], key: str) -> None:
    wanted = [entry[key] for entry in order]
    given = [entry for entry in changes if entry.get("$patch") != "delete"]
    positions = [wanted.index(entry[key]) if entry[key] in wanted else -1 for entry in given]
    if positions != sorted(positions) or -1 in positions:
        raise status.internal_error(
            f"The order in patch list:\n{go_format(given)}\n doesn't match $setElementOrder list:\n{go_format(order)}\n"
        )


def _ordered(merged: list[Any], wanted: list[Any], server: list[Any], key: Any) -> list[Any]:
    """The wanted entries in their order; the others keep their place relative to those the server knew.

    Where that leaves a choice, a wanted entry comes first.
    """
    first = sorted((entry for entry in merged if key(entry) in wanted), key=lambda entry: wanted.index(key(entry)))
    rest = [entry for entry in merged if key(entry) not in wanted]
    result: list[Any] = []
    while first and rest:
        ours, theirs = key(first[0]), key(rest[0])
        theirs_first = ours in server and theirs in server and server.index(theirs) < server.index(ours)
        result.append(rest.pop(0) if theirs_first else first.pop(0))
    return result + first + rest
