"""A local, watch-fed view of one resource, and a work queue: what every component of the cluster is built on.

The names are client-go's: an Informer lists once and then follows the watch; a WorkQueue holds each key once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.resources import Object, Resource

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(namespace, name)"""


class Handler(Protocol):
    """Called after the cache changed; ``old`` is None for a new object, ``new`` is None for a deleted one."""

    def __call__(self, old: Object | None, new: Object | None) -> None: ...


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
        return [obj for (ns, _), obj in self.objects.items() if ns == namespace]

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
            self._notify(self.objects.pop(key), None)
        for key, obj in fresh.items():
            old, self.objects[key] = self.objects.get(key), obj
            self._notify(old, obj)

    def _apply(self, kind: str, obj: Object) -> None:
        if kind == "BOOKMARK":
            return
        key = _key(obj)
        if kind == "DELETED":
            self.objects.pop(key, None)
            self._notify(obj, None)
            return
        old, self.objects[key] = self.objects.get(key), obj
        self._notify(old, obj)

    def _notify(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            handler(old, new)


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


def _key(obj: Object) -> Key:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]
