"""The scale subresource: a Deployment or ReplicaSet seen as autoscaling/v1 Scale."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
from aiohttp import web

from cluster.embedded.apiserver import table_format
from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.bodies import decode_object, decode_patch
from cluster.embedded.apiserver.refusals import bad_request, invalid
from cluster.embedded.apiserver.responses import json_response
from cluster.embedded.apiserver.rest import content_type, name_mismatch, write_options
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.status import conflict
from cluster.embedded.resources import Object

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def to_scale(obj: Object) -> Object:
    """The Scale of an object."""
    metadata = {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]}
    selector = table_format.label_selector((obj.get("spec") or {}).get("selector"))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": (obj.get("spec") or {}).get("replicas", 1)},
        "status": {"replicas": (obj.get("status") or {}).get("replicas", 0), "selector": selector},
    }


async def handle(request: web.BaseRequest, route: Route, adapter: Adapter) -> web.Response:
    """GET, PUT or PATCH of ``.../scale``. Raises ApiError."""
    obj = adapter.get(route.resource, route.namespace, route.name)
    if request.method == "GET":
        return json_response(to_scale(obj))
    raw, media = await request.read(), content_type(request)
    if request.method == "PUT":
        wanted = decode_object(raw, media, route.resource, kind="Scale")
    else:
        wanted = _patched(to_scale(obj), *decode_patch(raw, media))
    _check(route, obj, wanted)
    scaled = copy.deepcopy(obj)
    scaled["spec"]["replicas"] = (wanted.get("spec") or {}).get("replicas", 0)
    return json_response(to_scale(adapter.update(route.resource, scaled, write_options(request))))


def _patched(scale: Object, patch_type: str, patch: Any) -> Object:
    if patch_type == "json":
        try:
            result: Object = jsonpatch.apply_patch(scale, patch)
        except jsonpatch.JsonPatchException as error:
            raise bad_request(f"error applying patch: {error}") from None
        return result
    metadata = {**scale["metadata"], **(patch.get("metadata") or {})}
    return {**scale, "metadata": metadata, "spec": {**scale["spec"], **(patch.get("spec") or {})}}


def _check(route: Route, current: Object, wanted: Object) -> None:
    metadata = wanted.get("metadata") or {}
    if metadata.get("name", route.name) != route.name:
        raise name_mismatch(metadata["name"], route.name)
    if metadata.get("resourceVersion") not in (None, "", current["metadata"]["resourceVersion"]):
        raise conflict(route.resource, route.name)
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: spec.replicas is {replicas!r}')
    if replicas < 0:
        problem = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("Scale", "autoscaling", route.name, "spec.replicas", "FieldValueInvalid", problem)
