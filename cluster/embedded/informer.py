"""A local, watch-fed view of one resource, and a work queue: what every component of the cluster is built on.

The names are client-go's: an Informer lists once and then follows the watch; a WorkQueue holds each key once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.resources import Object, Resource

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(namespace, name)"""


class Handler(Protocol):
    """Called after the cache changed; ``old`` is None for a new object, ``new`` is None for a deleted one."""

    def __call__(self, old: Object | None, new: Object | None) -> None: ...


class Index:
    """The objects of an informer by a value that each of them has, such as the node of a pod.

    Args:
        value_of: the value of an object; it must not change unless the object does.
    """

    def __init__(self, value_of: Callable[[Object], Hashable]) -> None:
        self._value_of = value_of
        self._objects: dict[Hashable, dict[Key, Object]] = {}

    def of(self, value: Hashable) -> list[Object]:
        """The objects with that value."""
        return list(self._objects.get(value, {}).values())

    def count(self, value: Hashable) -> int:
        """How many objects have that value."""
        return len(self._objects.get(value, ()))

    def change(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Follow a change of the informer's objects."""
        value = self._value_of(new) if new is not None else None
        if old is not None:
            before = self._value_of(old)
            if new is None or before != value:
                self._remove(key, before)
        if new is not None:
            self._objects.setdefault(value, {})[key] = new

    def _remove(self, key: Key, value: Hashable) -> None:
        held = self._objects.get(value, {})
        held.pop(key, None)
        if not held:
            self._objects.pop(value, None)


class Informer:
    """Keeps the objects of a resource by (namespace, name) and calls handlers on every change.

    Args:
        client: the API to follow.
        resource: what to follow, in all namespaces.
        fields: an optional field selector, such as ``spec.nodeName=node-1``.
    """

    def __init__(self, client: ApiClient, resource: Resource, *, fields: str = "") -> None:
        self.objects: dict[Key, Object] = {}
        self.synced = asyncio.Event()
        self._client = client
        self._resource = resource
        self._fields = fields
        self._handlers: list[Handler] = []
        self._namespaces = Index(_namespace_of)
        self._indexes: dict[Callable[[Object], Hashable], Index] = {_namespace_of: self._namespaces}

    def index(self, value_of: Callable[[Object], Hashable]) -> Index:
        """An index that follows this informer; the same one for the same function."""
        if value_of not in self._indexes:
            index = self._indexes[value_of] = Index(value_of)
            for key, obj in self.objects.items():
                index.change(key, None, obj)
        return self._indexes[value_of]

    def add_handler(self, handler: Handler) -> None:
        """Register a handler; it is told of the objects that are known already."""
        self._handlers.append(handler)
        for obj in list(self.objects.values()):
            handler(None, obj)

    def get(self, namespace: str, name: str) -> Object | None:
        """The object as last seen, or None."""
        return self.objects.get((namespace, name))

    def in_namespace(self, namespace: str) -> list[Object]:
        """All objects of one namespace."""
        return self._namespaces.of(namespace)

    async def run(self) -> None:
        """Follow the API until cancelled; lists again when the watch is too old or breaks."""
        while True:
            try:
                listed = await self._client.list(self._resource, fields=self._fields)
                self._replace(listed.items)
                self.synced.set()
                async for event in self._client.watch(
                    self._resource, resource_version=listed.resource_version, fields=self._fields
                ):
                    self._apply(event.type, event.object)
            except ApiError as error:
                if error.code != 410:
                    log.warning("watch of %s broke: %s", self._resource.plural, error)
                    await asyncio.sleep(0.5)

    def _replace(self, items: list[Object]) -> None:
        fresh = {_key(obj): obj for obj in items}
        for key in [key for key in self.objects if key not in fresh]:
            self._put(key, None, told=self.objects[key])
        for key, obj in fresh.items():
            self._put(key, obj)

    def _apply(self, kind: str, obj: Object) -> None:
        if kind == "DELETED":
            self._put(_key(obj), None, told=obj)
        elif kind != "BOOKMARK":
            self._put(_key(obj), obj)

    def _put(self, key: Key, new: Object | None, *, told: Object | None = None) -> None:
        """Change the cache and its indexes, and tell the handlers; of a deleted object they are told its last state."""
        old = self.objects.pop(key, None) if new is None else self.objects.get(key)
        if new is not None:
            self.objects[key] = new
        for index in self._indexes.values():
            index.change(key, old, new)
        for handler in self._handlers:
            handler(told if new is None else old, new)


class Informers:
    """One Informer for each resource, shared by the components that need it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._informers: dict[str, Informer] = {}

    def of(self, resource: Resource) -> Informer:
        """The informer of the resource; it starts with `run`."""
        key = resource.group_resource
        if key not in self._informers:
            self._informers[key] = Informer(self._client, resource)
        return self._informers[key]

    async def synced(self) -> None:
        """Wait until every informer has listed once: before that, absence means nothing."""
        for informer in self._informers.values():
            await informer.synced.wait()

    async def run(self) -> None:
        """Follow the API until cancelled. Informers that are asked for later do not run."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())


class WorkQueue:
    """Keys to reconcile: each waits once, is never worked on twice at a time, and comes back after a failure.

    Args:
        reconcile: called with one key; an exception puts the key back after a growing delay.
        name: for the log.
        batch: how many keys to work on before the informers may see what was written.
    """

    def __init__(self, reconcile: Callable[[Key], Awaitable[None]], *, name: str, batch: int = 1) -> None:
        self._reconcile = reconcile
        self._name = name
        self._batch = batch
        self._pending: dict[Key, None] = {}
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    def add(self, key: Key) -> None:
        """Ask for a reconcile of the key."""
        self._pending[key] = None
        self._wake.set()

    def add_after(self, key: Key, delay_seconds: float) -> None:
        """Ask for a reconcile later; of several requests for the same key the soonest counts."""
        loop = asyncio.get_running_loop()
        if timer := self._timers.get(key):
            if timer.when() <= loop.time() + delay_seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay_seconds, self._due, key)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            while self._pending:
                for key in list(itertools.islice(self._pending, self._batch)):
                    del self._pending[key]
                    await self._work(key)
                # Calls in the process never suspend: let the informers see what was just written.
                await asyncio.sleep(0)
            self._wake.clear()
            await self._wake.wait()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _work(self, key: Key) -> None:
        try:
            await self._reconcile(key)
        except ApiError as error:
            if error.code not in (404, 409):
                log.warning("%s: %s/%s: %s", self._name, *key, error)
            self._retry(key)
        except Exception:
            # One object that cannot be understood must not stop the work on all others.
            log.exception("%s: %s/%s", self._name, *key)
            self._retry(key)
        else:
            self._failures.pop(key, None)

    def _retry(self, key: Key) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, min(0.005 * 2 ** min(failures, 20), 10.0))


def _namespace_of(obj: Object) -> Hashable:
    return obj["metadata"].get("namespace") or ""


def _key(obj: Object) -> Key:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]
