"""The fields of the served kinds as OpenAPI v3 schemas, from the extract of the published definitions.

Descriptions are not part of the extract. (Kubernetes documentation: "Kubernetes API Concepts", OpenAPI.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cluster.embedded.apiserver.schema import document
from cluster.embedded.resources import Object, Resource

_META = "io.k8s.apimachinery.pkg.apis.meta."
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number", "format": "double"},
    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}
_SHARED: dict[str, Object] = {
    _QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    _INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}


def schema_name(resource: Resource) -> str:
    """The name of a resource's kind among the schemas."""
    known = document()["kinds"].get(f"{resource.api_version}/{resource.kind}")
    if known:
        return _published(known)
    group = (resource.group or "core").split(".", 1)[0]
    return f"io.k8s.api.{group}.{resource.version}.{resource.kind}"


def schemas(resources: Iterable[Resource]) -> dict[str, Object]:
    """The schemas of the kinds of the resources, and of all types that they consist of."""
    found: dict[str, Object] = {}
    for resource in resources:
        known = document()["kinds"].get(f"{resource.api_version}/{resource.kind}")
        kinds = [{"group": resource.group, "version": resource.version, "kind": resource.kind}]
        if known:
            _collect(known, found)
            found[_published(known)]["x-kubernetes-group-version-kind"] = kinds
        else:
            found[schema_name(resource)] = {**_SCALARS["any"], "x-kubernetes-group-version-kind": kinds}
    return {**found, **_SHARED}


def _published(name: str) -> str:
    """``core.v1.Pod`` as ``io.k8s.api.core.v1.Pod``."""
    return f"{_META}{name.removeprefix('meta.')}" if name.startswith("meta.") else f"io.k8s.api.{name}"


def _collect(name: str, found: dict[str, Object]) -> None:
    """Add a struct and what it refers to."""
    if _published(name) in found:
        return
    body = document()["types"][name]
    schema: Object = {
        "type": "object",
        "properties": {field: _schema(expression) for field, expression in sorted(body["fields"].items())},
    }
    if body.get("required"):
        schema["required"] = sorted(body["required"])
    if body.get("atomic"):
        schema["x-kubernetes-map-type"] = "atomic"
    found[_published(name)] = schema
    for expression in body["fields"].values():
        for referred in _references(expression):
            _collect(referred, found)


def _references(expression: Any) -> Iterator[str]:
    if isinstance(expression, str):
        if expression.startswith("@"):
            yield expression[1:]
        return
    for key in ("ref", "list", "map"):
        if key in expression:
            yield from _references(expression[key])


def _schema(expression: Any) -> Object:
    if isinstance(expression, str):
        if expression.startswith("@"):
            return _reference(_published(expression[1:]))
        shared = {"quantity": _QUANTITY, "intorstring": _INT_OR_STRING}.get(expression)
        return _reference(shared) if shared else dict(_SCALARS[expression])
    if "ref" in expression:
        schema = _schema(expression["ref"])
    elif "list" in expression:
        schema = {"type": "array", "items": _schema(expression["list"])}
    else:
        schema = {"type": "object", "additionalProperties": _schema(expression["map"])}
    return {**schema, **_merge_rules(expression)}


def _reference(name: str) -> Object:
    return {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}


def _merge_rules(expression: dict[str, Any]) -> Object:
    rules: Object = {}
    if list_type := expression.get("listType"):
        rules["x-kubernetes-list-type"] = list_type
    if keys := expression.get("keys"):
        rules["x-kubernetes-list-map-keys"] = list(keys)
    if merge_key := expression.get("mergeKey"):
        rules["x-kubernetes-patch-merge-key"] = merge_key
    if strategies := expression.get("strategy"):
        rules["x-kubernetes-patch-strategy"] = ",".join(strategies)
    if expression.get("atomic"):
        rules["x-kubernetes-map-type"] = "atomic"
    return rules
