"""Discovery documents without what ``scope.yaml`` says is not served."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from tests.conformance.scope import FILE


@cache
def _absent(kind: str) -> frozenset[str]:
    return frozenset(yaml.safe_load(FILE.read_text()).get(f"absent_{kind}", ()))


def present(document: Any) -> Any:
    """A recorded discovery document reduced to what is served; anything else as it is."""
    if not isinstance(document, dict):
        return document
    if _is_openapi_index(document):
        return {"paths": {root: _URL for root in document["paths"] if not _is_absent_root(root)}}
    match document.get("kind"):
        case "APIGroupList":
            return {**document, "groups": [_group(g) for g in document["groups"] if g["name"] not in _absent("groups")]}
        case "APIGroup":
            return _group(document)
        case "APIResourceList":
            listed = [r for r in document["resources"] if not _is_absent_resource(r["name"])]
            return {**document, "resources": listed}
        case "APIGroupDiscoveryList":
            items = [i for i in document["items"] if i["metadata"].get("name") not in _absent("groups")]
            return {**document, "items": [_discovered(item) for item in items]}
    return document


_URL = "<url with a hash>"


def _is_openapi_index(document: dict[str, Any]) -> bool:
    paths = document.get("paths")
    return isinstance(paths, dict) and all(
        isinstance(entry, dict) and str(entry.get("serverRelativeURL", "")).startswith(f"/openapi/v3/{root}?hash=")
        for root, entry in paths.items()
    )


def _is_absent_root(root: str) -> bool:
    """Whether it is a path of a group version that is not served, or of none at all."""
    parts = root.split("/")
    if parts[0] not in ("api", "apis") or len(parts) < (2 if parts[0] == "api" else 3):
        return True
    return parts[0] == "apis" and (parts[1] in _absent("groups") or "/".join(parts[1:3]) in _absent("versions"))


def _is_absent_resource(name: str) -> bool:
    return name in _absent("resources") or name.partition("/")[0] in _absent("resources")


def _group(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "versions": [v for v in group["versions"] if v["groupVersion"] not in _absent("versions")]}


def _discovered(item: dict[str, Any]) -> dict[str, Any]:
    name = item["metadata"].get("name", "")
    versions = [v for v in item["versions"] if f"{name}/{v['version']}" not in _absent("versions")]
    return {**item, "versions": [{**v, "resources": [_resource(r) for r in _kept(v)]} for v in versions]}


def _kept(version: dict[str, Any]) -> list[dict[str, Any]]:
    return [r for r in version["resources"] if r["resource"] not in _absent("resources")]


def _resource(resource: dict[str, Any]) -> dict[str, Any]:
    if "subresources" not in resource:
        return resource
    name = resource["resource"]
    left = [s for s in resource["subresources"] if f"{name}/{s['subresource']}" not in _absent("resources")]
    reduced = {key: value for key, value in resource.items() if key != "subresources"}
    return {**reduced, "subresources": left} if left else reduced
