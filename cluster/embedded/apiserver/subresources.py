"""Subresources that are actions on a pod: binding and eviction."""

from __future__ import annotations

import copy

from aiohttp import web
from multidict import MultiDict

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.bodies import decode_object
from cluster.embedded.apiserver.deletion import DeleteOptions, delete_one
from cluster.embedded.apiserver.refusals import bad_request
from cluster.embedded.apiserver.responses import json_response, success
from cluster.embedded.apiserver.rest import content_type, write_options
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.selectors import label_selector
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.table_format import NONE
from cluster.embedded.apiserver.table_format import label_selector as selector_text
from cluster.embedded.client import ApiError
from cluster.embedded.resources import POD_DISRUPTION_BUDGETS, PODS, Object


async def bind(request: web.BaseRequest, route: Route, adapter: Adapter) -> web.Response:
    """POST of a Binding: the pod is assigned to a node. Raises ApiError."""
    binding = decode_object(await request.read(), content_type(request), PODS, kind="Binding")
    node = (binding.get("target") or {}).get("name")
    if not node:
        raise bad_request("target.name: Required value")
    pod = adapter.get(PODS, route.namespace, route.name)
    assigned = (pod.get("spec") or {}).get("nodeName")
    if assigned:
        message = (
            f'Operation cannot be fulfilled on pods/binding "{route.name}": '
            f'pod {route.name} is already assigned to node "{assigned}"'
        )
        raise failure(409, "Conflict", message, {"name": route.name, "kind": "pods/binding"})
    await adapter.bind(pod, node, write_options(request))
    return json_response(success(code=201), 201)


async def evict(request: web.BaseRequest, route: Route, adapter: Adapter) -> web.Response:
    """POST of an Eviction: deletes the pod unless a disruption budget forbids it (429). Raises ApiError."""
    eviction = decode_object(await request.read(), content_type(request), PODS, kind="Eviction")
    if (eviction.get("metadata") or {}).get("name", route.name) != route.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = DeleteOptions.of(eviction.get("deleteOptions") or {}, MultiDict(request.query))
    pod = adapter.get(PODS, route.namespace, route.name)
    budgets = _budgets_of(adapter, pod)
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise failure(500, "", message)
    if budgets and not _is_finished(pod):
        _consume(adapter, budgets[0], route.name, dry_run=options.dry_run)
    delete_one(adapter, PODS, route.namespace, route.name, options)
    return json_response(success(code=201), 201)


def _is_finished(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or "deletionTimestamp" in pod["metadata"]


def _budgets_of(adapter: Adapter, pod: Object) -> list[Object]:
    found = []
    for budget in adapter.registry.store.list(POD_DISRUPTION_BUDGETS, pod["metadata"]["namespace"]):
        text = selector_text((budget.get("spec") or {}).get("selector"))
        if text == NONE or label_selector(text)(pod):
            found.append(budget)
    return found


def _consume(adapter: Adapter, budget: Object, pod: str, *, dry_run: bool) -> None:
    """Take one disruption from the budget, as the API server does at once, before its controller counts again."""
    status = budget.get("status") or {}
    observed = status.get("observedGeneration", 0) >= budget["metadata"].get("generation", 0)
    if not observed or status.get("disruptionsAllowed", 0) < 1:
        raise _too_many_requests(budget)
    if dry_run:
        return
    updated = copy.deepcopy(budget)
    updated["status"]["disruptionsAllowed"] -= 1
    updated["status"].setdefault("disruptedPods", {})[pod] = adapter.now()
    adapter.update_status(POD_DISRUPTION_BUDGETS, updated)


def _too_many_requests(budget: Object) -> ApiError:
    status = budget.get("status") or {}
    message = (
        f"The disruption budget {budget['metadata']['name']} needs {status.get('desiredHealthy', 0)} healthy pods "
        f"and has {status.get('currentHealthy', 0)} currently"
    )
    return failure(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        {"causes": [{"reason": "DisruptionBudget", "message": message}]},
    )
