"""The object store: one global resourceVersion, optimistic concurrency, and a log that watches read.

It plays the part etcd and the watch cache have in a real control plane. It is synchronous and lives in one
event loop, so every operation is atomic. Stored objects are never changed in place.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Literal

from cluster.embedded.resources import Object, Resource

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]


Objects = list[Object]


class NotFound(KeyError):
    """No object is stored under that key."""


class AlreadyExists(KeyError):
    """An object is stored under that key already."""


class VersionConflict(ValueError):
    """The object changed since the caller read it."""


class VersionGone(ValueError):
    """The log no longer reaches back to that resourceVersion (HTTP 410)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log. ``previous`` lets a selector watch turn MODIFIED into ADDED or DELETED."""

    type: EventType
    object: Object
    previous: Object | None
    version: int


@dataclass(slots=True)
class _Watcher:
    queue: deque[Change]
    wake: asyncio.Event
    overflowed: bool = False


class _Collection:
    """The objects of one resource, their names in order, and its own part of the log."""

    def __init__(self, log_size: int) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.log: deque[Change] = deque(maxlen=log_size)
        self.oldest_version = 0
        self.watchers: dict[int, _Watcher] = {}
        self._names: dict[str, list[str]] = {}

    def listed(self, namespace: str | None) -> list[Object]:
        """The objects in the order of their keys."""
        if namespace is not None:
            return [self.objects[namespace, name] for name in self._names.get(namespace, ())]
        return [self.objects[space, name] for space in sorted(self._names) for name in self._names[space]]

    def listed_at(self, namespace: str | None, version: int) -> list[Object]:
        """The objects as of a version that the log reaches back to: every later change is undone."""
        then = dict(self.objects)
        for change in reversed(self.log):
            if change.version <= version:
                break
            key = _key(change.object)
            if change.previous is None:
                del then[key]
            else:
                then[key] = change.previous
        return [then[key] for key in sorted(then) if namespace is None or key[0] == namespace]

    def put(self, key: tuple[str, str], obj: Object) -> None:
        """Add or replace an object."""
        if key not in self.objects:
            insort(self._names.setdefault(key[0], []), key[1])
        self.objects[key] = obj

    def pop(self, key: tuple[str, str]) -> Object | None:
        """Take an object out, if it is there."""
        obj = self.objects.pop(key, None)
        if obj is not None:
            names = self._names[key[0]]
            del names[bisect_left(names, key[1])]
            if not names:
                del self._names[key[0]]
        return obj


class Store:
    """Objects by (resource, namespace, name). Cluster-scoped objects have namespace ``""``.

    Args:
        log_size: how many changes of each resource a watch can go back.
        watcher_buffer: how many unread changes a watcher may have before it is dropped.

    Attributes:
        version: the resourceVersion of the latest change of any object.
        compacted_version: what was before it cannot be listed any more.
    """

    def __init__(self, *, log_size: int = 5_000, watcher_buffer: int = 10_000) -> None:
        self._collections: dict[str, _Collection] = {}
        self._log_size = log_size
        self._watcher_buffer = watcher_buffer
        self._next_watcher = 0
        self._oldest_watchable = 0
        self.version = 1
        self.compacted_version = 0

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return the stored object. Raises NotFound."""
        try:
            return self._collection(resource).objects[namespace, name]
        except KeyError:
            raise NotFound(name) from None

    def list(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """All objects of the resource (of one namespace), ordered by namespace and name, as etcd orders keys."""
        return self._collection(resource).listed(namespace)

    def list_at(self, resource: Resource, namespace: str | None, version: int) -> Objects:
        """What ``list`` returned at a resourceVersion. Raises VersionGone when that is compacted."""
        collection = self._collection(resource)
        if version < max(self.compacted_version, collection.oldest_version):
            raise VersionGone(str(version))
        if not collection.log or collection.log[-1].version <= version:
            return collection.listed(namespace)
        return collection.listed_at(namespace, version)

    def compact(self, version: int) -> None:
        """Forget the states before a resourceVersion, as etcd does when the API server asks it to."""
        self.compacted_version = max(self.compacted_version, min(version, self.version))

    def forget_changes(self) -> None:
        """Let no watch go back beyond now, as after the start of a real server, whose watch cache begins empty."""
        self._oldest_watchable = self.version

    def restore(self, resource: Resource, obj: Object) -> None:
        """Put back an object as it was in another store, with its resourceVersion; no watch is told."""
        self._collection(resource).put(_key(obj), obj)

    def create(self, resource: Resource, obj: Object) -> Object:
        """Store a new object; returns it with its resourceVersion. Raises AlreadyExists."""
        collection = self._collection(resource)
        key = _key(obj)
        if key in collection.objects:
            raise AlreadyExists(key[1])
        return self._write(collection, key, obj, None)

    def update(self, resource: Resource, obj: Object, *, expected_version: str | None = None) -> Object:
        """Replace an object. Raises NotFound, or VersionConflict if it is not at ``expected_version``."""
        collection = self._collection(resource)
        key = _key(obj)
        previous = collection.objects.get(key)
        if previous is None:
            raise NotFound(key[1])
        if expected_version and previous["metadata"]["resourceVersion"] != expected_version:
            raise VersionConflict(key[1])
        return self._write(collection, key, obj, previous)

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        """Remove an object; returns it at the resourceVersion of its deletion. Raises NotFound."""
        collection = self._collection(resource)
        previous = collection.pop((namespace, name))
        if previous is None:
            raise NotFound(name)
        stamped = self._stamp(previous)
        self._append(collection, Change("DELETED", stamped, previous, self.version))
        return stamped

    async def watch(self, resource: Resource, after_version: int) -> AsyncGenerator[Change, None]:
        """Yield every change of the resource after a version, forever. Raises VersionGone.

        A watcher that does not read is dropped (VersionGone) once its buffer is full, as a real server does.
        """
        collection = self._collection(resource)
        oldest = max(collection.oldest_version, self._oldest_watchable)
        if after_version < oldest:
            raise VersionGone(f"too old resource version: {after_version} ({oldest})")
        watcher = _Watcher(deque(c for c in collection.log if c.version > after_version), asyncio.Event())
        identity = self._next_watcher = self._next_watcher + 1
        collection.watchers[identity] = watcher
        try:
            while True:
                while watcher.queue:
                    yield watcher.queue.popleft()
                if watcher.overflowed:
                    raise VersionGone("the watcher read too slowly")
                watcher.wake.clear()
                await watcher.wake.wait()
        finally:
            collection.watchers.pop(identity, None)

    def __iter__(self) -> Iterator[Object]:
        for collection in self._collections.values():
            yield from collection.objects.values()

    def _collection(self, resource: Resource) -> _Collection:
        key = resource.group_resource
        if key not in self._collections:
            self._collections[key] = _Collection(self._log_size)
        return self._collections[key]

    def _write(self, collection: _Collection, key: tuple[str, str], obj: Object, previous: Object | None) -> Object:
        stamped = self._stamp(obj)
        collection.put(key, stamped)
        self._append(collection, Change("MODIFIED" if previous else "ADDED", stamped, previous, self.version))
        return stamped

    def _stamp(self, obj: Object) -> Object:
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _append(self, collection: _Collection, change: Change) -> None:
        if len(collection.log) == collection.log.maxlen:
            collection.oldest_version = collection.log[0].version
        collection.log.append(change)
        for watcher in collection.watchers.values():
            if len(watcher.queue) >= self._watcher_buffer:
                watcher.overflowed = True
            else:
                watcher.queue.append(change)
            watcher.wake.set()


def _key(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
