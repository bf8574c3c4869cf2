"""The cache in front of the registry: what may be in Redis, and how a change gets it out again.

Only ``ready`` entries are cached. After every change the one key is deleted; while Redis is unreachable the delete
is kept and tried again until it succeeds or the entry would have expired anyway.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Literal

from services.model_registry.entries import Entry
from services.redis_link import CacheDown, RedisLink, cache_key

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
Clearing = Literal["cleared", "absent", "pending", "kept", "none"]


class RegistryCache:
    """Cached registry entries.

    Args:
        link: Redis.
        ttl_seconds: how long an entry may be served from the cache.
        invalidate: False is a fault for experiments: changes leave the cache alone, so that it serves what is no
            longer true until the time to live has passed.
    """

    def __init__(self, link: RedisLink, *, ttl_seconds: int, invalidate: bool = True) -> None:
        self._link = link
        self._ttl_seconds = ttl_seconds
        self._owed: dict[str, float] = {}
        self._repayment: asyncio.Task[None] | None = None
        self.invalidate = invalidate

    @property
    def problem(self) -> str | None:
        """Why the cache is not in use; None when it works."""
        return self._link.problem

    async def check(self) -> str | None:
        """Asks Redis whether it answers; returns the problem or None."""
        with suppress(CacheDown):
            await self._link.ping()
        return self._link.problem

    async def fill(self, entry: Entry) -> bool:
        """Caches an entry if it may be cached and none is; whether it was.

        What is cached already stays as it is, so that looking at an entry neither prolongs nor mends a stale one.
        """
        key = cache_key(entry.environment, entry.model_name)
        if entry.status != "ready" or key in self._owed:
            return False
        try:
            return await self._link.add(key, json.dumps(entry.as_json()).encode(), self._ttl_seconds)
        except CacheDown:
            return False

    async def changed(self, environment: str, model_name: str) -> Clearing:
        """Takes an entry that has changed out of the cache, unless the stale-cache fault is on (``kept``)."""
        return await self.clear(environment, model_name) if self.invalidate else "kept"

    async def clear(self, environment: str, model_name: str) -> Clearing:
        """Deletes the one key of an entry; ``pending`` when Redis does not answer, ``none`` without a Redis."""
        key = cache_key(environment, model_name)
        try:
            deleted = await self._link.delete(key)
        except CacheDown as error:
            if self._link.problem == "not configured":
                return "none"
            logger.warning("cannot delete %s, trying again until it has expired: %s", key, error)
            self._owe(key)
            return "pending"
        self._owed.pop(key, None)
        return "cleared" if deleted else "absent"

    async def close(self) -> None:
        """Stops trying again and closes the connections."""
        if self._repayment:
            self._repayment.cancel()
            with suppress(asyncio.CancelledError):
                await self._repayment
        await self._link.close()

    def _owe(self, key: str) -> None:
        self._owed[key] = time.monotonic() + self._ttl_seconds
        if self._repayment is None or self._repayment.done():
            self._repayment = asyncio.create_task(self._repay())

    async def _repay(self) -> None:
        while self._owed:
            await asyncio.sleep(RETRY_SECONDS)
            for key, expires in list(self._owed.items()):
                if await self._deleted(key) or time.monotonic() > expires:
                    self._owed.pop(key, None)

    async def _deleted(self, key: str) -> bool:
        try:
            await self._link.delete(key)
        except CacheDown:
            return False
        logger.info("deleted %s after all", key)
        return True
