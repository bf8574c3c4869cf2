"""OpenAPI v3: the operations on each kind with their options and types of patch, and the fields of the kinds."""

from __future__ import annotations

from functools import cache

import orjson

from cluster.embedded.apiserver.bodies import PATCH_TYPES
from cluster.embedded.apiserver.discovery import etag, group_version_roots, resources_under
from cluster.embedded.apiserver.openapi_schemas import schema_name, schemas
from cluster.embedded.resources import Object, Resource

_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


@cache
def index() -> tuple[bytes, str]:
    """(body, ETag) of ``/openapi/v3``."""
    urls = {
        root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={document(root)[1].strip(chr(34))}"}
        for root in group_version_roots()
    }
    data = orjson.dumps({"paths": urls})
    return data, etag(data)


@cache
def document(root: str) -> tuple[bytes, str]:
    """(body, ETag) of the document of one group version, such as ``apis/apps/v1``. Raises KeyError."""
    resources = resources_under(root)
    if not resources:
        raise KeyError(root)
    body = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": {path: item for r in resources for path, item in _paths(root, r).items()},
        "components": {"schemas": schemas(resources)},
    }
    data = orjson.dumps(body)
    return data, etag(data)


def _paths(root: str, resource: Resource) -> dict[str, Object]:
    scope = "namespaces/{namespace}/" if resource.namespaced else ""
    collection = f"/{root}/{scope}{resource.plural}"
    post = _operation(resource, "post", ["application/json", "application/vnd.kubernetes.protobuf"])
    operations = {
        "get": _operation(resource, "get", []),
        "put": _operation(resource, "put", ["application/json"]),
        "patch": _operation(resource, "patch", list(PATCH_TYPES)),
        "delete": _operation(resource, "delete", ["application/json"]),
    }
    return {
        collection: {"get": _operation(resource, "list", []), "post": post},
        f"{collection}/{{name}}": operations,
    }


def _operation(resource: Resource, action: str, media: list[str]) -> Object:
    group_version_kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    reference = {"schema": {"$ref": f"#/components/schemas/{schema_name(resource)}"}}
    operation: Object = {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": group_version_kind,
        "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
    }
    if media:
        operation["parameters"] = [_parameter(name) for name in _WRITE_PARAMETERS]
        operation["requestBody"] = {"content": dict.fromkeys(media, reference)}
    return operation


def _parameter(name: str) -> Object:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
