"""Shows nodes and network the addresses of pods as they are, and the API server such as it accepts."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

from clients.addresses import published, reachable
from cluster.embedded.client import ApiClient, ObjectList, PatchType, Propagation, WatchEvent
from cluster.embedded.resources import ENDPOINT_SLICES, PODS, Object, Resource


class PublishedAddresses:
    """An `ApiClient` that translates the addresses of pods in both directions, for nodes and the network."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return _read(resource, await self._client.get(resource, name, namespace))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        listed = await self._client.list(resource, namespace, labels=labels, fields=fields)
        return ObjectList([_read(resource, item) for item in listed.items], listed.resource_version)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        async for event in self._client.watch(
            resource, namespace, resource_version=resource_version, labels=labels, fields=fields
        ):
            yield WatchEvent(event.type, _read(resource, event.object))

    async def create(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        return _read(resource, await self._client.create(resource, obj, subresource=subresource))

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        written = _translated(resource, obj, published)
        return _read(resource, await self._client.update(resource, written, subresource=subresource))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        written = _translated(resource, patch, published) if patch_type != "json" else patch
        return _read(
            resource,
            await self._client.patch(
                resource, name, written, namespace, patch_type=patch_type, subresource=subresource
            ),
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation: Propagation | None = None,
        uid: str = "",
    ) -> Object:
        return await self._client.delete(
            resource,
            name,
            namespace,
            grace_period_seconds=grace_period_seconds,
            propagation=propagation,
            uid=uid,
        )


def _read(resource: Resource, obj: Object) -> Object:
    return _translated(resource, obj, reachable)


def _translated(resource: Resource, obj: Object, translate: Callable[[str], str]) -> Object:
    """The object, or a copy of it with other addresses."""
    if resource is PODS and (obj.get("status") or {}).get("podIP"):
        status = {**obj["status"], "podIP": translate(obj["status"]["podIP"])}
        if status.get("podIPs"):
            status["podIPs"] = [{**each, "ip": translate(each["ip"])} for each in status["podIPs"]]
        return {**obj, "status": status}
    if resource is ENDPOINT_SLICES and obj.get("endpoints"):
        obj = copy.deepcopy(obj)
        for endpoint in obj["endpoints"]:
            endpoint["addresses"] = [translate(address) for address in endpoint["addresses"]]
    return obj
