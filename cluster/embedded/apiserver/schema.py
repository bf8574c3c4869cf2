"""The published schema of the served kinds: what type each field has, and how lists and maps merge.

The data is extracted from the OpenAPI definitions by ``scripts/build_schema.py``; it is read on first use.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

from cluster.embedded.resources import Resource

_EXACT: dict[str, type] = {"string": str, "time": str, "bool": bool, "int32": int, "int64": int}


@dataclass(slots=True, eq=False)
class Type:
    """The type of a value, with the merge semantics of the place it stands in.

    Attributes:
        kind: struct, map, list, any, or a scalar: string, bool, int32, int64, number, quantity, intorstring, time,
            bytes.
        go: the name that decoding errors use, such as ``v1.Container`` or ``int32``.
        exact: the Python type whose values need no conversion, or None.
        fields: of a struct.
        element: of a list or map.
        keys: key fields of an associative list (server-side apply).
        list_type: atomic, set or map.
        merge_key: key field of a strategic merge patch.
        strategies: patch strategies: merge, replace, retainKeys.
        atomic: whether a map or struct is owned as a whole.
        written: fields of a struct whose zero value is written.
        always: fields of a struct that are written even when unset, with their value.
    """

    kind: str
    go: str
    exact: type | None = None
    fields: dict[str, Type] = field(default_factory=dict)
    element: Type | None = None
    keys: tuple[str, ...] = ()
    list_type: str = "atomic"
    merge_key: str = ""
    strategies: frozenset[str] = frozenset()
    atomic: bool = False
    written: frozenset[str] = frozenset()
    always: dict[str, Any] = field(default_factory=dict)

    @property
    def associative(self) -> bool:
        """Whether a list's entries are owned one by one."""
        return self.kind == "list" and self.list_type != "atomic"

    def child(self, name: str) -> Type:
        """The type of a field of a struct or of an entry of a map; ``ANY`` when unknown."""
        if self.kind == "struct":
            return self.fields.get(name, ANY)
        return self.element or ANY


ANY = Type("any", "interface {}", atomic=True)


class Schema:
    """All types, and which of them are kinds.

    Args:
        document: as ``scripts/build_schema.py`` writes it.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.key_defaults: dict[str, str] = document["keyDefaults"]
        self._kinds: dict[str, str] = document["kinds"]
        self._scalars: dict[str, Type] = {}
        self._structs: dict[str, Type] = {}
        for name, body in document["types"].items():
            self._structs[name] = _struct(name, body)
        for name, body in document["types"].items():
            fields = self._structs[name].fields
            for field_name, expression in body["fields"].items():
                fields[field_name] = self._resolve(expression)
        metadata = self._structs["meta.v1.ObjectMeta"].fields
        metadata["managedFields"] = replace(ANY)

    def of(self, api_version: str, kind: str) -> Type:
        """The type of a kind. One that Kubernetes does not publish has spec and status of any shape."""
        known = self._kinds.get(f"{api_version}/{kind}")
        return self._structs[known] if known else self._custom(kind)

    def _custom(self, kind: str) -> Type:
        string, metadata = self._scalar("string"), self._structs["meta.v1.ObjectMeta"]
        fields = {"apiVersion": string, "kind": string, "metadata": metadata, "spec": ANY, "status": ANY}
        return Type("struct", kind, fields=fields)

    def _resolve(self, expression: Any) -> Type:
        if isinstance(expression, str):
            if expression.startswith("@"):
                return self._structs[expression[1:]]
            return self._scalar(expression)
        if "ref" in expression:
            return replace(self._structs[expression["ref"][1:]], **_extras(expression))
        nested = self._resolve(expression.get("list") or expression["map"])
        kind, prefix = ("list", "[]") if "list" in expression else ("map", "map[string]")
        go = "[]uint8" if nested.kind == "bytes" and kind == "list" else prefix + nested.go
        return Type(kind, go, element=nested, **_extras(expression))

    def _scalar(self, kind: str) -> Type:
        if kind == "any":
            return ANY
        if kind not in self._scalars:
            go = {"time": "string", "bytes": "[]uint8", "number": "float64"}.get(kind, kind)
            self._scalars[kind] = Type(kind, go, exact=_EXACT.get(kind))
        return self._scalars[kind]


def _struct(name: str, body: dict[str, Any]) -> Type:
    return Type(
        "struct",
        ".".join(name.split(".")[-2:]),
        atomic=bool(body.get("atomic")),
        written=frozenset(body["written"]),
        always=body.get("always", {}),
    )


def _extras(expression: dict[str, Any]) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if strategies := expression.get("strategy"):
        extras["strategies"] = frozenset(strategies)
    if merge_key := expression.get("mergeKey"):
        extras["merge_key"] = merge_key
    if keys := expression.get("keys"):
        extras["keys"] = tuple(keys)
    if list_type := expression.get("listType"):
        extras["list_type"] = list_type
    if expression.get("atomic"):
        extras["atomic"] = True
    return extras


@cache
def document() -> dict[str, Any]:
    """The extract as ``scripts/build_schema.py`` wrote it; shared, not to be changed."""
    packed = resources.files(__package__).joinpath("data/schema.json.gz").read_bytes()
    extract: dict[str, Any] = json.loads(gzip.decompress(packed))
    return extract


@cache
def schema() -> Schema:
    """The schema of all served kinds."""
    return Schema(document())


@cache
def type_of(resource: Resource) -> Type:
    """The type of a resource's objects."""
    return schema().of(resource.api_version, resource.kind)
