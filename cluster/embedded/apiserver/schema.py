"""The published Kubernetes schemas, as far as they are needed: which fields are quantities, and how lists are merged.

The data is made by ``scripts/build_schema.py``; it is read on first use.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cluster.embedded.resources import Object

Field = Mapping[str, Any]
TypeSchema = Mapping[str, Field]
_FILE = Path(__file__).with_name("schema.json.gz")
_UNKNOWN: Field = {"k": "s"}
_NULL_TIMES = frozenset({"eventTime", "firstTimestamp", "lastTimestamp", "lastProbeTime"})
_NULL_LISTS = frozenset({"endpoints", "ports"})


@lru_cache(maxsize=1)
def _load() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress(_FILE.read_bytes()))
    return content


def of_kind(api_version: str, kind: str) -> TypeSchema:
    """The fields of a kind; empty when it is not known."""
    content = _load()
    return content["types"].get(content["kinds"].get(f"{api_version}/{kind}", ""), {})  # type: ignore[no-any-return]


def of_object(obj: Object) -> TypeSchema:
    """The fields of an object's kind."""
    return of_kind(obj.get("apiVersion", ""), obj.get("kind", ""))


def inner(field: Field) -> TypeSchema:
    """The fields of what a field refers to: an object, or a list's items."""
    return _load()["types"].get(field.get("r", ""), {})  # type: ignore[no-any-return]


def field(schema: TypeSchema, key: str) -> Field:
    """One field; an unknown one counts as a scalar."""
    return schema.get(key, _UNKNOWN)


def item_key(item: Mapping[str, Any], keys: list[str]) -> tuple[Any, ...]:
    """What identifies an item of a map list. ``protocol`` counts as TCP when it is not said, as the API defaults it."""
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


def normalise(value: Object, schema: TypeSchema) -> Object:
    """An object as the API would decode and encode it: quantities are strings, nulls are gone.

    The few fields that the API itself writes as null stay.
    """
    nullable = _NULL_LISTS if value.get("kind") == "EndpointSlice" else _NULL_TIMES
    return {
        key: _normalise_field(item, field(schema, key))
        for key, item in value.items()
        if item is not None or key in nullable
    }


def _normalise_field(value: Any, described: Field) -> Any:
    kind = described["k"]
    if kind == "q":
        return _quantity(value)
    if kind == "o" and isinstance(value, dict):
        return normalise(value, inner(described))
    if kind == "m" and isinstance(value, dict):
        if described.get("q"):
            return {key: _quantity(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in value.items() if item is not None}
    if kind == "l" and isinstance(value, list) and "r" in described:
        within = inner(described)
        return [normalise(item, within) if isinstance(item, dict) else item for item in value]
    return value


def _quantity(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
