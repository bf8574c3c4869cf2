"""The ResourceQuota controller: says in ``status.used`` what a namespace has used up. Refusing is admission's work."""

from __future__ import annotations

from cluster.embedded.client import ApiClient
from cluster.embedded.informer import Handler, Informers, Key, WorkQueue
from cluster.embedded.meta import key_of
from cluster.embedded.quota import spelled, used_by
from cluster.embedded.resources import EVENTS, RESOURCE_QUOTAS, RESOURCES, Object, Resource

_COUNTABLE = tuple(resource for resource in RESOURCES if resource.namespaced and resource is not EVENTS)


class ResourceQuotaController:
    """Watches everything that can be counted; writes the status of ResourceQuotas."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._quotas = informers.of(RESOURCE_QUOTAS)
        self._informers = {resource: informers.of(resource) for resource in _COUNTABLE}
        self._queue = WorkQueue(self.reconcile, name="resourcequota-controller")
        self._quotas.add_handler(self._quota_changed)
        for resource, informer in self._informers.items():
            informer.add_handler(self._follow(resource))

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _quota_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(key_of(new))

    def _follow(self, resource: Resource) -> Handler:
        def changed(old: Object | None, new: Object | None) -> None:
            obj = new or old
            if obj is None or (resource is RESOURCE_QUOTAS and old and new):
                return
            for quota in self._quotas.in_namespace(obj["metadata"].get("namespace") or ""):
                self._queue.add(key_of(quota))

        return changed

    async def reconcile(self, key: Key) -> None:
        """Count what one quota limits."""
        quota = self._quotas.get(*key)
        if quota is None:
            return
        hard = quota["spec"].get("hard") or {}
        objects = (
            (resource, obj) for resource, informer in self._informers.items() for obj in informer.in_namespace(key[0])
        )
        status = {"hard": hard, "used": spelled(used_by(quota, objects))} if hard else {}
        if status != (quota.get("status") or {}):
            await self._client.update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")
