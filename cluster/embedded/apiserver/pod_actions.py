"""Requests for subresources that are actions on a pod: binding and eviction."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.bodies import decode_object
from cluster.embedded.apiserver.refusals import bad_request, method_not_allowed
from cluster.embedded.apiserver.responses import json_response
from cluster.embedded.apiserver.rest import content_type, write_options
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.resources import PODS, Object


async def bind(request: web.BaseRequest, route: Route, adapter: Adapter) -> web.Response:
    """POST of a Binding, to a pod or to ``bindings``: the pod is assigned to a node. Raises ApiError."""
    if request.method != "POST":
        raise method_not_allowed()
    sent = decode_object(await request.read(), content_type(request), PODS, kind="Binding")
    name = route.name or str((sent.get("metadata") or {}).get("name") or "")
    binding = _named(sent, replace(route, name=name))
    if not (binding.get("target") or {}).get("name"):
        raise bad_request("target.name: Required value")
    dry_run = write_options(request).dry_run
    return json_response(adapter.registry.bind(route.namespace or "", binding, dry_run=dry_run), 201)


async def evict(request: web.BaseRequest, route: Route, adapter: Adapter) -> web.Response:
    """POST of an Eviction: deletes the pod unless a disruption budget forbids it (429). Raises ApiError."""
    eviction = decode_object(await request.read(), content_type(request), PODS, kind="Eviction")
    if (eviction.get("metadata") or {}).get("name", route.name) != route.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = eviction.get("deleteOptions") or {}
    dry_run = bool(options.get("dryRun")) or write_options(request).dry_run
    answer = adapter.registry.evict(route.namespace or "", _named(eviction, route), dry_run=dry_run)
    return json_response(answer, 201)


def _named(body: Object, route: Route) -> Object:
    return {**body, "metadata": {**(body.get("metadata") or {}), "name": route.name, "namespace": route.namespace}}
