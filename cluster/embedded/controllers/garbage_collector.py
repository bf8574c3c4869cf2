"""Deletes objects whose owners are gone, and carries out foreground and orphan deletions.

Source: Kubernetes, "Garbage collection" (owner references are by uid; a foreground deletion waits for dependents that
block it).
"""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Mapping

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.common import terminating
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.resources import Object, Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
Node = tuple[Resource, str, str]


class GarbageCollector:
    """Follows every resource and keeps the graph of who owns whom."""

    def __init__(self, client: ApiClient, informers: Mapping[Resource, Informer]) -> None:
        self._client = client
        self._informers = informers
        self._dependents: dict[str, set[Node]] = defaultdict(set)
        self._alive: dict[str, Node] = {}
        self._queue = WorkQueue(self._reconcile, name="garbage-collector")
        self._by_plural = {resource.group_resource: resource for resource in informers}
        for resource, informer in informers.items():
            informer.add_handler(lambda old, new, resource=resource: self._observe(resource, old, new))

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(*(informer.synced.wait() for informer in self._informers.values()))
        for resource, informer in self._informers.items():
            for obj in informer.objects.values():
                if obj["metadata"].get("ownerReferences"):
                    self._enqueue(_node(resource, obj))
        await self._queue.run()

    def _observe(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        node = _node(resource, obj)
        uid = obj["metadata"]["uid"]
        for owner in (old or {}).get("metadata", {}).get("ownerReferences") or []:
            self._dependents[owner["uid"]].discard(node)
        if new is None:
            self._alive.pop(uid, None)
            for dependent in self._dependents.pop(uid, set()):
                self._enqueue(dependent)
            for owner in obj["metadata"].get("ownerReferences") or []:
                if owner["uid"] in self._alive:  # a foreground deletion may have waited for this one
                    self._enqueue(self._alive[owner["uid"]])
            return
        self._alive[uid] = node
        for owner in new["metadata"].get("ownerReferences") or []:
            self._dependents[owner["uid"]].add(node)
        if terminating(new) or new["metadata"].get("ownerReferences"):
            self._enqueue(node)

    def _enqueue(self, node: Node) -> None:
        resource, namespace, name = node
        self._queue.add((f"{resource.group_resource}|{namespace}", name))

    async def _reconcile(self, key: Key) -> None:
        plural, _, namespace = key[0].partition("|")
        resource = self._by_plural[plural]
        obj = self._informers[resource].get(namespace, key[1])
        if obj is None:
            return
        finalizers = obj["metadata"].get("finalizers") or []
        if terminating(obj) and FOREGROUND in finalizers:
            await self._foreground(resource, obj)
        elif terminating(obj) and ORPHAN in finalizers:
            await self._orphan(resource, obj)
        elif not terminating(obj):
            await self._collect(resource, obj)

    async def _collect(self, resource: Resource, obj: Object) -> None:
        """Delete an object all of whose owners are gone; forget those of its owners that are."""
        owners = obj["metadata"].get("ownerReferences") or []
        gone = [owner for owner in owners if await self._absent(owner, obj["metadata"].get("namespace") or "")]
        if not owners or not gone:
            return
        if len(gone) == len(owners):
            await self._delete(resource, obj)
            return
        updated = copy.deepcopy(obj)
        updated["metadata"]["ownerReferences"] = [owner for owner in owners if owner not in gone]
        await self._client.update(resource, updated)

    async def _absent(self, owner: Mapping[str, str], namespace: str) -> bool:
        """Whether the owner does not exist (asked of the API, since the cache may be behind)."""
        if owner["uid"] in self._alive:
            return False
        for resource in self._informers:
            if resource.kind == owner["kind"] and resource.api_version == owner["apiVersion"]:
                try:
                    found = await self._client.get(resource, owner["name"], namespace if resource.namespaced else "")
                except ApiError as error:
                    if error.code == 404:
                        return True
                    raise
                return bool(found["metadata"]["uid"] != owner["uid"])
        return False  # an owner of a kind that is not served: leave the object alone

    async def _foreground(self, resource: Resource, obj: Object) -> None:
        blocking = False
        for node in list(self._dependents.get(obj["metadata"]["uid"], ())):
            dependent = self._informers[node[0]].get(node[1], node[2])
            if dependent is None:
                continue
            if not terminating(dependent):
                await self._delete(node[0], dependent, foreground=True)
            owners = dependent["metadata"].get("ownerReferences") or []
            uid = obj["metadata"]["uid"]
            blocking = blocking or any(o["uid"] == uid and o.get("blockOwnerDeletion") for o in owners)
        if not blocking:
            await self._drop_finalizer(resource, obj, FOREGROUND)

    async def _orphan(self, resource: Resource, obj: Object) -> None:
        for node in list(self._dependents.get(obj["metadata"]["uid"], ())):
            dependent = self._informers[node[0]].get(node[1], node[2])
            if dependent is None:
                continue
            updated = copy.deepcopy(dependent)
            owners = updated["metadata"].get("ownerReferences") or []
            updated["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != obj["metadata"]["uid"]]
            await self._client.update(node[0], updated)
        await self._drop_finalizer(resource, obj, ORPHAN)

    async def _delete(self, resource: Resource, obj: Object, *, foreground: bool = False) -> None:
        metadata = obj["metadata"]
        try:
            await self._client.delete(
                resource,
                metadata["name"],
                metadata.get("namespace") or "",
                propagation="Foreground" if foreground else "Background",
                uid=metadata["uid"],
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _drop_finalizer(self, resource: Resource, obj: Object, finalizer: str) -> None:
        updated = copy.deepcopy(obj)
        updated["metadata"]["finalizers"] = [f for f in obj["metadata"]["finalizers"] if f != finalizer]
        await self._client.update(resource, updated)


def _node(resource: Resource, obj: Object) -> Node:
    return resource, obj["metadata"].get("namespace") or "", obj["metadata"]["name"]
