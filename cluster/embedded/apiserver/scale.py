"""Requests for the scale subresource: a Deployment or ReplicaSet seen as autoscaling/v1 Scale."""

from __future__ import annotations

from aiohttp import web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.bodies import decode_object, decode_patch
from cluster.embedded.apiserver.refusals import bad_request
from cluster.embedded.apiserver.responses import json_response
from cluster.embedded.apiserver.rest import content_type, name_mismatch, write_options
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.resources import Object


async def handle(request: web.BaseRequest, route: Route, adapter: Adapter) -> web.Response:
    """GET, PUT or PATCH of ``.../scale``. Raises ApiError."""
    if request.method == "GET":
        return json_response(adapter.registry.get_scale(route.resource, route.namespace or "", route.name))
    raw, media, options = await request.read(), content_type(request), write_options(request)
    if request.method == "PUT":
        scale = _checked(decode_object(raw, media, route.resource, kind="Scale"), route)
        return json_response(adapter.update(route.resource, scale, options, subresource="scale"))
    patch_type, patch = decode_patch(raw, media)
    changed = adapter.patch(
        route.resource, route.namespace, route.name, patch, options, patch_type=patch_type, subresource="scale"
    )
    return json_response(changed)


def _checked(scale: Object, route: Route) -> Object:
    for key in ("metadata", "spec", "status"):
        if not isinstance(scale.get(key), dict | None):
            raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: {key} is no object')
    metadata = scale.get("metadata") or {}
    if metadata.get("name", route.name) != route.name:
        raise name_mismatch(metadata["name"], route.name)
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: spec.replicas is {replicas!r}')
    return {**scale, "metadata": {**metadata, "name": route.name, "namespace": route.namespace}}
