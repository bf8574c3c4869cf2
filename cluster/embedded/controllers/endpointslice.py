"""Keeps EndpointSlices and Endpoints of every Service with a selector: who serves, and who is ready to."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.common import now, pod_ready, terminating
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.resources import ENDPOINT_SLICES, ENDPOINTS, Object

SERVICE_NAME = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslice-controller.k8s.io"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def endpoint(pod: Object, *, publish_not_ready: bool) -> dict[str, Any]:
    """One pod as an entry of an EndpointSlice."""
    serving = pod_ready(pod) or publish_not_ready
    gone = terminating(pod)
    metadata = pod["metadata"]
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publish_not_ready or (serving and not gone),
            "serving": pod_ready(pod),
            "terminating": gone,
        },
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": {
            "kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
        },
    }  # fmt: skip


def slice_ports(service: Object, pods: list[Object]) -> list[dict[str, Any]] | None:
    """The Service's ports as the pods serve them; named target ports are looked up in the pods."""
    if not pods:
        return None
    ports = []
    for port in service["spec"].get("ports") or []:
        number = _target(port.get("targetPort", port["port"]), pods)
        if number is not None:
            entry = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            ports.append(entry)
    return ports


def _target(target: int | str, pods: list[Object]) -> int | None:
    if isinstance(target, int):
        return target
    for pod in pods:
        for container in pod["spec"].get("containers") or []:
            for port in container.get("ports") or []:
                if port.get("name") == target:
                    return int(port["containerPort"])
    return None


class EndpointSliceController:
    """One slice a Service, rewritten whenever a pod behind it changes."""

    def __init__(self, client: ApiClient, services: Informer, pods: Informer, slices: Informer) -> None:
        self._client = client
        self._services = services
        self._pods = pods
        self._slices = slices
        self._queue = WorkQueue(self._reconcile, name="endpointslice")
        services.add_handler(self._on_service)
        pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(*(i.synced.wait() for i in (self._services, self._pods, self._slices)))
        await self._queue.run()

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        self._queue.add((obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            for service in self._services.in_namespace(pod["metadata"]["namespace"]):
                if _selects(service, pod):
                    self._queue.add((service["metadata"]["namespace"], service["metadata"]["name"]))

    async def _reconcile(self, key: Key) -> None:
        service = self._services.get(*key)
        if service is None or not service["spec"].get("selector"):
            return
        pods = [
            pod
            for pod in self._pods.in_namespace(key[0])
            if _selects(service, pod)
            and pod.get("status", {}).get("podIP")
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]
        pods.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]))
        publish = bool(service["spec"].get("publishNotReadyAddresses"))
        endpoints = [endpoint(pod, publish_not_ready=publish) for pod in pods] or None
        await self._write_slice(service, endpoints, slice_ports(service, pods))
        await self._write_endpoints(service, endpoints or [], slice_ports(service, pods) or [])

    async def _write_slice(
        self, service: Object, endpoints: list[dict[str, Any]] | None, ports: list[dict[str, Any]] | None
    ) -> None:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        current = next(
            (
                one
                for one in self._slices.in_namespace(namespace)
                if (one["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
            ),
            None,
        )
        labels = {
            **(service["metadata"].get("labels") or {}),
            SERVICE_NAME: name,
            _MANAGED_BY: _MANAGER,
        }
        if current is None:
            await self._client.create(ENDPOINT_SLICES, _new_slice(service, labels, endpoints, ports))
            raise _again()
        if (current.get("endpoints") or None) == endpoints and (current.get("ports") or None) == ports:
            return
        updated = {**current, "endpoints": endpoints, "ports": ports}
        await self._client.update(ENDPOINT_SLICES, updated)

    async def _write_endpoints(
        self, service: Object, endpoints: list[dict[str, Any]], ports: list[dict[str, Any]]
    ) -> None:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        subsets = _subsets(endpoints, ports)
        labels = {
            **(service["metadata"].get("labels") or {}),
            "endpoints.kubernetes.io/managed-by": "endpoint-controller",
        }
        wanted: Object = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
        }
        if subsets:
            wanted["subsets"] = subsets
        try:
            current = await self._client.get(ENDPOINTS, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._client.create(ENDPOINTS, wanted)
            return
        if (current.get("subsets") or []) != subsets:
            updated = {**current, "subsets": subsets}
            if not subsets:
                updated.pop("subsets")
            await self._client.update(ENDPOINTS, updated)


def _again() -> ApiError:
    """Asks the queue for another look, once the cache shows the slice that was just made."""
    return ApiError({"code": 409, "reason": "Conflict", "message": "the slice was just created"})


def _new_slice(
    service: Object, labels: dict[str, str], endpoints: list[dict[str, Any]] | None, ports: list[dict[str, Any]] | None
) -> Object:
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            # named here, and not by the server, so that a second try with a stale cache meets AlreadyExists
            "name": f"{metadata['name']}-{_suffix(metadata['uid'])}",
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": now()},
            "ownerReferences": [
                {
                    "apiVersion": "v1", "kind": "Service", "name": metadata["name"], "uid": metadata["uid"],
                    "controller": True, "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }  # fmt: skip


def _suffix(uid: str) -> str:
    number = int(uid.replace("-", "")[:12] or secrets.token_hex(6), 16)
    letters = []
    for _ in range(5):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def _subsets(endpoints: list[dict[str, Any]], ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def addresses(ready: bool) -> list[dict[str, Any]]:
        return [
            {"ip": e["addresses"][0], "nodeName": e["nodeName"], "targetRef": e["targetRef"]}
            for e in endpoints
            if e["conditions"]["ready"] is ready and not e["conditions"]["terminating"]
        ]

    subset: dict[str, Any] = {}
    if ready := addresses(True):
        subset["addresses"] = ready
    if waiting := addresses(False):
        subset["notReadyAddresses"] = waiting
    if not subset:
        return []
    if ports:
        subset["ports"] = [{k: v for k, v in port.items() if v != ""} for port in ports]
    return [subset]


def _selects(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= (pod["metadata"].get("labels") or {}).items()
