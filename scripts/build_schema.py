"""Extracts what the embedded API server needs of the published Kubernetes schemas into one compact file.

    python scripts/build_schema.py

Source: the definitions that package kubernetes-validate ships (Kubernetes v1.36, generated from its OpenAPI). Kept for
each object type: its fields, and for each field whether it is a quantity, which type it refers to, and how its list is
merged (x-kubernetes-list-type, -list-map-keys, -patch-merge-key).
"""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from cluster.embedded.resources import RESOURCES

TARGET = Path(__file__).resolve().parent.parent / "cluster" / "embedded" / "apiserver" / "schema.json.gz"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_PREFIX = "#/$defs/"
_EXTRA_KINDS = ("Scale", "Eviction", "Binding")


def main() -> None:
    """Write the compact schema."""
    source = files("kubernetes_validate") / "kubernetes-json-schema" / "v1.36.0-local" / "_definitions.json"
    definitions = json.loads(source.read_text())["$defs"]
    kinds = {}
    wanted = {(r.group, r.version, r.kind) for r in RESOURCES}
    for name, definition in definitions.items():
        for gvk in definition.get("x-kubernetes-group-version-kind") or []:
            key = (gvk["group"], gvk["version"], gvk["kind"])
            if key in wanted or gvk["kind"] in _EXTRA_KINDS:
                group = f"{gvk['group']}/" if gvk["group"] else ""
                kinds[f"{group}{gvk['version']}/{gvk['kind']}"] = name
    types: dict[str, Any] = {}
    for name in kinds.values():
        _collect(name, definitions, types)
    content = json.dumps({"kinds": kinds, "types": types}, sort_keys=True, separators=(",", ":"))
    TARGET.write_bytes(gzip.compress(content.encode(), mtime=0))
    print(f"{TARGET.name}: {len(kinds)} kinds, {len(types)} types, {TARGET.stat().st_size} bytes")


def _collect(name: str, definitions: dict[str, Any], types: dict[str, Any]) -> None:
    if name in types or name not in definitions:
        return
    properties = definitions[name].get("properties")
    if not properties:
        return
    types[name] = {key: _field(value) for key, value in properties.items()}
    for field in types[name].values():
        if reference := field.get("r"):
            _collect(reference, definitions, types)


def _field(schema: dict[str, Any]) -> dict[str, Any]:
    """``k`` kind (s scalar, q quantity, o object, m map, l list), ``r`` referred type, list semantics."""
    if reference := _reference(schema):
        return {"k": "q"} if reference == QUANTITY else {"k": "o", "r": reference}
    declared = schema.get("type")
    kind = next((t for t in declared if t != "null"), "") if isinstance(declared, list) else declared
    if kind == "array":
        field: dict[str, Any] = {"k": "l", "t": schema.get("x-kubernetes-list-type", "atomic")}
        if keys := schema.get("x-kubernetes-list-map-keys"):
            field["keys"] = keys
        if merge_key := schema.get("x-kubernetes-patch-merge-key"):
            field["p"] = merge_key
        elif "merge" in str(schema.get("x-kubernetes-patch-strategy", "")):
            field["p"] = ""
        if reference := _reference(schema.get("items") or {}):
            field["r"] = reference
        return field
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        inner = _reference(schema["additionalProperties"])
        return {"k": "m", "q": 1} if inner == QUANTITY else {"k": "m"}
    return {"k": "s"}


def _reference(schema: dict[str, Any]) -> str:
    found = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf") or [] if "$ref" in s), "")
    return found.removeprefix(_PREFIX)


if __name__ == "__main__":
    main()
