"""Watches a cluster the way the recordings were made."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping, Sequence

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.resources import Object, Resource
from tests.conformance.kubelet.recording import Entry


class Observer:
    """Keeps what watches of some resources saw, in the order in which it came.

    Attributes:
        entries: what was seen so far.
    """

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.entries: list[Entry] = []
        self._client = client
        self._namespace = namespace
        self._tasks: list[asyncio.Task[None]] = []
        self._start = 0.0

    async def begin(self, resources: Iterable[Resource]) -> None:
        """Start to watch; time is counted from now."""
        for resource in resources:
            namespace = self._namespace if resource.namespaced else None
            listed = await self._client.list(resource, namespace)
            if not resource.namespaced:
                self.entries += [Entry(0.0, resource.plural, "LIST", copy.deepcopy(obj)) for obj in listed.items]
            self._tasks.append(asyncio.create_task(self._watch(resource, namespace, listed.resource_version)))
        self._start = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return asyncio.get_running_loop().time() - self._start

    def end(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()

    async def _watch(self, resource: Resource, namespace: str | None, version: str) -> None:
        while True:
            try:
                async for event in self._client.watch(resource, namespace, resource_version=version):
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        entry = Entry(self.now, resource.plural, event.type, copy.deepcopy(event.object))
                        self.entries.append(entry)
            except ApiError as error:
                if error.code != 410:
                    raise
                version = (await self._client.list(resource, namespace)).resource_version


def matching_names(recorded: Sequence[Entry], ours: Sequence[Entry], given: Iterable[str]) -> Mapping[str, str]:
    """Our generated names and the recording's, paired by the order in which they appeared."""
    known = set(given)
    names: dict[str, str] = {}
    for resource in ("replicasets", "pods"):
        theirs = _generated(recorded, resource, known, {})
        mine = _generated(ours, resource, known, names)
        for base, found in mine.items():
            names |= dict(zip(found, theirs.get(base, []), strict=False))
    return names


def _generated(
    entries: Sequence[Entry], resource: str, known: set[str], names: Mapping[str, str]
) -> dict[str, list[str]]:
    """Names that are not of the manifest, by what they were generated from."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        name = _name(entry.object)
        if entry.resource == resource and name not in known:
            base = name.rpartition("-")[0]
            seen = found.setdefault(names.get(base, base), [])
            if name not in seen:
                seen.append(name)
    return found


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))
