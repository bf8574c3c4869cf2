"""The metrics API (``metrics.k8s.io/v1beta1``), as metrics-server adds it to a cluster: made when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.negotiation import Form, negotiate
from cluster.embedded.apiserver.refusals import method_not_allowed, unknown_resource
from cluster.embedded.apiserver.responses import json_response
from cluster.embedded.apiserver.selectors import Predicate, label_selector
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.usage import ContainerUsage, UsageSource
from cluster.embedded.apiserver.watch import is_true
from cluster.embedded.client import ApiError
from cluster.embedded.resources import NODES, PODS, Object, Resource

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_VERBS = ("get", "list")
NODE_METRICS = Resource(GROUP, VERSION, "nodes", "NodeMetrics", namespaced=False, verbs=_VERBS)
POD_METRICS = Resource(GROUP, VERSION, "pods", "PodMetrics", verbs=_VERBS)
METRICS = (NODE_METRICS, POD_METRICS)


class MetricsApi:
    """Usage of nodes and pods.

    Args:
        adapter: where the pods and nodes are that the usage belongs to.
        source: what the nodes measure.
    """

    def __init__(self, adapter: Adapter, source: UsageSource) -> None:
        self._store = adapter.registry.store
        self._source = source

    async def of_pods(self, namespace: str | None, labels: str) -> list[Object]:
        """PodMetrics of the running pods that a label selector chooses, for components in the process."""
        return self._pods(namespace, label_selector(labels))

    def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer a request below ``/apis/metrics.k8s.io/v1beta1``. Raises ApiError."""
        parts = [part for part in request.path.split("/") if part][3:]
        if request.method != "GET" or is_true(request.query.get("watch")):
            raise method_not_allowed()
        form, selected = (
            negotiate(request.headers.get("Accept", "")),
            label_selector(request.query.get("labelSelector", "")),
        )
        match parts:
            case ["nodes"]:
                return _many(NODE_METRICS, self._nodes(selected), form)
            case ["nodes", name]:
                return _one(NODE_METRICS, self._nodes(selected), name, name, form)
            case ["pods"]:
                return _many(POD_METRICS, self._pods(None, selected), form)
            case ["namespaces", namespace, "pods"]:
                return _many(POD_METRICS, self._pods(namespace, selected), form)
            case ["namespaces", namespace, "pods", name]:
                return _one(POD_METRICS, self._pods(namespace, selected), name, f"{namespace}/{name}", form)
        raise unknown_resource()

    def _nodes(self, selected: Predicate) -> list[Object]:
        usage = {node.name: node.total for node in self._source.usage()}
        nodes = [node for node in self._store.list(NODES, None) if selected(node)]
        return [
            {**_head(NODE_METRICS, node, found), "usage": _usage(found)}
            for node in nodes
            if (found := usage.get(node["metadata"]["name"]))
        ]

    def _pods(self, namespace: str | None, selected: Predicate) -> list[Object]:
        usage = {(pod.namespace, pod.name): pod.containers for node in self._source.usage() for pod in node.pods}
        metrics = []
        for pod in self._store.list(PODS, namespace):
            found = usage.get((pod["metadata"].get("namespace", ""), pod["metadata"]["name"]))
            if found and selected(pod) and (pod.get("status") or {}).get("phase") == "Running":
                first = min(found.values(), key=lambda container: container.timestamp)
                containers = [{"name": name, "usage": _usage(container)} for name, container in found.items()]
                metrics.append({**_head(POD_METRICS, pod, first), "containers": containers})
        return metrics


def _head(resource: Resource, obj: Object, usage: ContainerUsage) -> Object:
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "labels") if obj["metadata"].get(key)}
    metadata["creationTimestamp"] = _time(datetime.now(UTC))
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "timestamp": _time(datetime.fromtimestamp(usage.timestamp, UTC)),
        "window": f"{usage.window_seconds:.3f}".rstrip("0").rstrip(".") + "s",
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _usage(usage: ContainerUsage) -> Object:
    return {"cpu": _quantity(usage.cpu_nanocores, "n"), "memory": _quantity(usage.memory_bytes // 1024, "Ki")}


def _quantity(number: int, unit: str) -> str:
    return f"{number}{unit}" if number else "0"


def _many(resource: Resource, items: list[Object], form: Form) -> web.Response:
    if form == "table":
        return json_response(_table(items))
    shown = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
    kind = f"{resource.kind}List"
    return json_response({"kind": kind, "apiVersion": resource.api_version, "metadata": {}, "items": shown})


def _one(resource: Resource, items: list[Object], name: str, full_name: str, form: Form) -> web.Response:
    found = next((item for item in items if item["metadata"]["name"] == name), None)
    if found is None:
        raise _not_found(resource, full_name)
    return json_response(_table([found]) if form == "table" else found)


def _not_found(resource: Resource, name: str) -> ApiError:
    kind = resource.kind.lower()
    message = f'{kind}.{GROUP} "{name}" not found'
    return failure(404, "NotFound", message, {"name": name, "group": GROUP, "kind": kind})


def _table(items: Iterable[Object]) -> Object:
    rows = [{"cells": _cells(item), "object": item} for item in items]
    columns = [("Name", "name"), ("cpu", "quantity"), ("memory", "quantity"), ("Window", "duration")]
    definitions = [
        {"name": name, "type": "string", "format": form, "description": "", "priority": 0} for name, form in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": definitions if rows else [],
        "rows": rows,
    }


def _cells(item: Object) -> list[str]:
    parts = [part["usage"] for part in item.get("containers") or [item]]
    cpu = sum(int(part["cpu"].removesuffix("n")) for part in parts)
    memory = sum(int(part["memory"].removesuffix("Ki")) for part in parts)
    return [item["metadata"]["name"], _quantity(cpu, "n"), _quantity(memory, "Ki"), item["window"]]
