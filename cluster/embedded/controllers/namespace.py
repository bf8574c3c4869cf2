"""Gives every namespace its default ServiceAccount, and empties those that are on their way out."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.common import terminating
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Object, Resource

ROOT_CA = "kube-root-ca.crt"


class NamespaceController:
    """Two small controllers of a real cluster in one: service accounts and namespace termination."""

    def __init__(self, client: ApiClient, informers: Mapping[Resource, Informer], ca_pem: str) -> None:
        self._client = client
        self._namespaces = informers[NAMESPACES]
        self._contents = {resource: informer for resource, informer in informers.items() if resource.namespaced}
        self._ca_pem = ca_pem
        self._queue = WorkQueue(self._reconcile, name="namespace")
        self._namespaces.add_handler(self._on_namespace)
        for informer in self._contents.values():
            informer.add_handler(self._on_content)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(self._namespaces.synced.wait(), *(i.synced.wait() for i in self._contents.values()))
        await self._queue.run()

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(("", new["metadata"]["name"]))

    def _on_content(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._queue.add(("", old["metadata"].get("namespace") or ""))

    async def _reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get("", key[1])
        if namespace is None:
            return
        if terminating(namespace):
            await self._empty(namespace)
            return
        await self._ensure(SERVICE_ACCOUNTS, key[1], {"kind": "ServiceAccount", "metadata": {"name": "default"}})
        root = {"kind": "ConfigMap", "metadata": {"name": ROOT_CA}, "data": {"ca.crt": self._ca_pem}}
        await self._ensure(CONFIG_MAPS, key[1], root)

    async def _ensure(self, resource: Resource, namespace: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if self._contents[resource].get(namespace, name) is not None:
            return
        complete = {**obj, "apiVersion": resource.api_version, "metadata": {"name": name, "namespace": namespace}}
        try:
            await self._client.create(resource, complete)
        except ApiError as error:
            if error.reason not in ("AlreadyExists", "NotFound", "Forbidden"):
                raise

    async def _empty(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        left = 0
        for resource, informer in self._contents.items():
            for obj in informer.in_namespace(name):
                left += 1
                if terminating(obj):
                    continue
                try:
                    await self._client.delete(resource, obj["metadata"]["name"], name)
                except ApiError as error:
                    if error.code != 404:
                        raise
        finalizers = namespace.get("spec", {}).get("finalizers") or []
        if left == 0 and finalizers:
            updated = copy.deepcopy(namespace)
            updated["spec"]["finalizers"] = []
            await self._client.update(NAMESPACES, updated, subresource="finalize")
