"""The registry as its callers see it: the database decides, the cache follows, every change is logged.

Redis must never keep an entry that a finished change has replaced. Within the process a lock per model orders
filling and changing; against other processes the entry is read again after it was cached, and taken out when it
changed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from services.model_registry.cache import Clearing, RegistryCache
from services.model_registry.entries import Entry
from services.model_registry.store import RegistryStore

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the entry before (None for a new one) and after, and what became of the cached one."""

    before: Entry | None
    after: Entry
    cache: Clearing


class RegistryService:
    """Reads and changes entries; the methods raise what RegistryStore raises."""

    def __init__(self, store: RegistryStore, cache: RegistryCache) -> None:
        self.store = store
        self.cache = cache
        self._locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    async def ping(self) -> None:
        """Returns when the database answers."""
        await asyncio.to_thread(self.store.ping)

    async def list(self, environment: str | None, status: str | None, model_name: str | None) -> list[Entry]:
        """The entries that match what is given, from the database."""
        return await asyncio.to_thread(self.store.list, environment, status, model_name)

    async def get(self, environment: str, model_name: str) -> Entry | None:
        """The entry from the database; a ready one is in the cache afterwards."""
        async with self._lock(environment, model_name):
            entry = await asyncio.to_thread(self.store.get, environment, model_name)
            if entry and await self.cache.fill(entry):
                await self._check_filled(entry)
        return entry

    async def register(
        self, environment: str, model_name: str, endpoint: str, namespace: str, *, force: bool, by: str
    ) -> Change:
        """Registers a model; an intentional disable stays in force unless ``force`` is given."""
        return await self._change(
            environment,
            model_name,
            "register",
            by,
            lambda: self.store.register(environment, model_name, endpoint, namespace, force=force),
        )

    async def enable(self, environment: str, model_name: str, *, by: str) -> Change:
        """Puts a model into traffic, whoever had disabled it."""
        return await self._change(
            environment, model_name, "enable", by, lambda: self.store.enable(environment, model_name)
        )

    async def disable(self, environment: str, model_name: str, *, reason: str, owner: str) -> Change:
        """Takes a model out of traffic; a reason makes it intentional."""
        return await self._change(
            environment,
            model_name,
            "disable",
            owner,
            lambda: self.store.disable(environment, model_name, reason, owner),
        )

    async def _change(
        self,
        environment: str,
        model_name: str,
        verb: str,
        by: str,
        change: Callable[[], tuple[Entry | None, Entry]],
    ) -> Change:
        async with self._lock(environment, model_name):
            before, after = await asyncio.to_thread(change)
            cache = await self.cache.changed(environment, model_name)
        logger.info(
            "%s %s/%s by %s: %s -> %s, endpoint %s, reason %s, cache %s",
            *(verb, environment, model_name, by or "unnamed", before.status if before else "absent"),
            *(after.status, after.endpoint, after.reason or "none", cache),
        )
        return Change(before, after, cache)

    async def _check_filled(self, entry: Entry) -> None:
        if not self.cache.invalidate:
            return
        latest = await asyncio.to_thread(self.store.get, entry.environment, entry.model_name)
        if latest != entry:
            await self.cache.clear(entry.environment, entry.model_name)

    def _lock(self, environment: str, model_name: str) -> asyncio.Lock:
        return self._locks.setdefault((environment, model_name), asyncio.Lock())
