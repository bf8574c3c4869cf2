"""The garbage collector: objects follow their owners.

See "Garbage Collection" in the Kubernetes documentation. Owners are known by uid. In the background the dependents
go after the owner; with the finalizer ``foregroundDeletion`` the owner waits for those that block it; with the
finalizer ``orphan`` the dependents stay and forget the owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.embedded.client import ApiClient, ApiError, Propagation
from cluster.embedded.controllers.ownership import write_owners
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import is_deleted, key_of, owners_of
from cluster.embedded.resources import BY_KIND, EVENTS, RESOURCES, Object, Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
Standing = Literal["solid", "waiting", "dangling"]


@dataclass(frozen=True, slots=True)
class _Node:
    resource: Resource
    object: Object


class GarbageCollector:
    """Watches everything but Events; deletes what lost its owners."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._nodes: dict[str, _Node] = {}
        self._dependents: dict[str, dict[str, None]] = {}
        # Work is by uid, since a name can be used again.
        self._queue = WorkQueue(self._reconcile, name="garbage-collector")
        for resource in RESOURCES:
            if resource is not EVENTS:
                informers.of(resource).add_handler(self._handler(resource))

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _handler(self, resource: Resource) -> _Follow:
        return _Follow(self, resource)

    def observe(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        """Keep the graph of owners and dependents true and queue what a change touches."""
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            self._forget(old)
        if new is None:
            return
        uid = new["metadata"]["uid"]
        former = self._nodes.get(uid)
        self._nodes[uid] = _Node(resource, new)
        self._link(uid, former.object if former else None, new)
        if owners_of(new) or _has_finalizer(new, FOREGROUND) or _has_finalizer(new, ORPHAN):
            self._add(uid)
        if is_deleted(new):
            self._add_blocked_owners(new)
            if _has_finalizer(new, FOREGROUND):
                for dependent in self._dependents.get(uid, ()):
                    self._add(dependent)

    def _forget(self, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        self._nodes.pop(uid, None)
        self._link(uid, obj, None)
        for dependent in self._dependents.get(uid, ()):
            self._add(dependent)
        self._add_blocked_owners(obj)

    def _link(self, uid: str, old: Object | None, new: Object | None) -> None:
        before = {ref["uid"] for ref in owners_of(old)} if old else set()
        after = {ref["uid"] for ref in owners_of(new)} if new else set()
        for owner in before - after:
            known = self._dependents.get(owner, {})
            known.pop(uid, None)
            if not known:
                self._dependents.pop(owner, None)
            self._add(owner)
        for owner in after - before:
            self._dependents.setdefault(owner, {})[uid] = None

    def _add_blocked_owners(self, obj: Object) -> None:
        for reference in owners_of(obj):
            owner = self._nodes.get(reference["uid"])
            if owner is not None and is_deleted(owner.object):
                self._add(reference["uid"])

    def _add(self, uid: str) -> None:
        if uid in self._nodes:
            self._queue.add(("", uid))

    async def _reconcile(self, key: Key) -> None:
        node = self._nodes.get(key[1])
        if node is None:
            return
        obj = node.object
        if is_deleted(obj) and _has_finalizer(obj, ORPHAN):
            await self._orphan(node)
        elif is_deleted(obj) and _has_finalizer(obj, FOREGROUND):
            await self._wait_for_dependents(node)
        elif not is_deleted(obj) and owners_of(obj):
            await self._judge(node)

    async def _orphan(self, node: _Node) -> None:
        uid = node.object["metadata"]["uid"]
        for dependent in self._dependents_of(uid):
            rest = [ref for ref in owners_of(dependent.object) if ref["uid"] != uid]
            await write_owners(self._client, dependent.resource, dependent.object, rest)
        await self._remove_finalizer(node, ORPHAN)

    async def _wait_for_dependents(self, node: _Node) -> None:
        uid = node.object["metadata"]["uid"]
        for dependent in self._dependents_of(uid):
            for reference in owners_of(dependent.object):
                if reference["uid"] == uid and reference.get("blockOwnerDeletion"):
                    self._add(dependent.object["metadata"]["uid"])
                    return
        await self._remove_finalizer(node, FOREGROUND)

    def _dependents_of(self, uid: str) -> list[_Node]:
        return [self._nodes[other] for other in self._dependents.get(uid, ()) if other in self._nodes]

    async def _judge(self, node: _Node) -> None:
        """Delete the object if no owner of it is left, else drop references to owners that are gone."""
        standings = [(ref, await self._standing(node.object, ref)) for ref in owners_of(node.object)]
        solid = [ref for ref, standing in standings if standing == "solid"]
        if not solid:
            waiting = any(standing == "waiting" for _, standing in standings)
            await self._delete(node, waiting=waiting)
        elif len(solid) < len(standings):
            await write_owners(self._client, node.resource, node.object, solid)

    async def _standing(self, obj: Object, reference: Object) -> Standing:
        resource = BY_KIND.get((reference["apiVersion"], reference["kind"]))
        if resource is None:
            return "solid"  # a kind that is not served cannot be looked up
        known = self._nodes.get(reference["uid"])
        owner = known.object if known else await self._look_up(resource, obj, reference)
        if owner is None:
            return "dangling"
        return "waiting" if is_deleted(owner) and _has_finalizer(owner, FOREGROUND) else "solid"

    async def _look_up(self, resource: Resource, obj: Object, reference: Object) -> Object | None:
        """The owner as the API has it, for the cache may not show it yet."""
        namespace = obj["metadata"].get("namespace") or "" if resource.namespaced else ""
        try:
            owner = await self._client.get(resource, reference["name"], namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return owner if owner["metadata"]["uid"] == reference["uid"] else None

    async def _delete(self, node: _Node, *, waiting: bool) -> None:
        metadata = node.object["metadata"]
        propagation: Propagation = "Background"
        if _has_finalizer(node.object, ORPHAN):
            propagation = "Orphan"
        elif _has_finalizer(node.object, FOREGROUND) or (waiting and self._dependents.get(metadata["uid"])):
            propagation = "Foreground"
        namespace, name = key_of(node.object)
        try:
            await self._client.delete(node.resource, name, namespace, propagation=propagation, uid=metadata["uid"])
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _remove_finalizer(self, node: _Node, finalizer: str) -> None:
        metadata = node.object["metadata"]
        rest = [item for item in metadata.get("finalizers") or [] if item != finalizer]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": rest or None}}
        namespace, name = key_of(node.object)
        try:
            await self._client.patch(node.resource, name, patch, namespace)
        except ApiError as error:
            if error.code != 404:
                raise


class _Follow:
    """An informer's handler that says of which resource it tells."""

    def __init__(self, collector: GarbageCollector, resource: Resource) -> None:
        self._collector, self._resource = collector, resource

    def __call__(self, old: Object | None, new: Object | None) -> None:
        self._collector.observe(self._resource, old, new)


def _has_finalizer(obj: Object, finalizer: str) -> bool:
    return finalizer in (obj["metadata"].get("finalizers") or [])
