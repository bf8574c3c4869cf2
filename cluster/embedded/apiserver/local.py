"""The API for components in the same process: the same Registry that HTTP requests go through, without the HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.refusals import expired
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.selectors import field_selector, label_selector
from cluster.embedded.client import ObjectList, PatchType, Propagation, WatchEvent
from cluster.embedded.resources import RESOURCES, Object, Resource
from cluster.embedded.store import VersionGone

if TYPE_CHECKING:
    from cluster.embedded.apiserver.authentication.service_accounts import ServiceAccountTokens

_SERVED = {resource.group_resource for resource in RESOURCES}


class LocalClient:
    """An `ApiClient` on a Registry.

    Args:
        registry: what serves the calls.
        manager: the field manager that its writes are recorded under in managedFields.
        tokens: answers TokenRequests; without it there is no such subresource.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        manager: str = "kube-controller-manager",
        tokens: ServiceAccountTokens | None = None,
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._tokens = tokens

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return self._registry.get(resource, namespace, name)

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        if resource.group_resource not in _SERVED:
            raise status.failure(404, "NotFound", "the server could not find the requested resource", {})
        items = self._registry.list(resource, namespace, labels, fields)
        return ObjectList(items, str(self._registry.store.version))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        by_label, by_field = label_selector(labels), field_selector(fields, resource)

        def selected(obj: Object | None) -> bool:
            return (
                obj is not None
                and (namespace is None or obj["metadata"].get("namespace") == namespace)
                and by_label(obj)
                and by_field(obj)
            )

        try:
            async for change in self._registry.store.watch(resource, int(resource_version)):
                was, now = selected(change.previous), change.type != "DELETED" and selected(change.object)
                if was or now:
                    kind = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
                    yield WatchEvent(kind, change.object)
        except VersionGone as gone:
            raise expired(gone) from None

    async def create(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        namespace = obj["metadata"].get("namespace") or ""
        if subresource == "binding":
            return self._registry.bind(namespace, obj)
        if subresource == "eviction":
            return self._registry.evict(namespace, obj)
        if subresource == "token":
            if self._tokens is None:
                raise status.failure(404, "NotFound", "the server could not find the requested resource", {})
            return self._tokens.request(namespace, obj["metadata"]["name"], obj)
        return self._registry.create(resource, obj, field_manager=self._manager)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        return self._registry.update(resource, obj, subresource=subresource, field_manager=self._manager)

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
        return self._registry.patch(
            resource,
            namespace,
            name,
            patch,
            patch_type=patch_type,
            subresource=subresource,
            field_manager=self._manager,
            force=patch_type == "apply",
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
        return self._registry.delete(
            resource,
            namespace,
            name,
            grace_period_seconds=grace_period_seconds,
            propagation=propagation,
            uid=uid,
        )
