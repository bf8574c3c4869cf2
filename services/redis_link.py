"""A Redis client for a cache that may be absent: short time-outs, no queue of requests behind a dead server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from clients.errors import InputError

TIMEOUT_SECONDS = 0.5
BACKOFF_SECONDS = 1.0
CACHE_KEY_PREFIX = "model_registry"

T = TypeVar("T")


class CacheDown(Exception):
    """Redis is not configured, does not answer, or refuses the command."""


def cache_key(environment: str, model_name: str) -> str:
    """The key under which Redis holds the entry of a model."""
    return f"{CACHE_KEY_PREFIX}:{environment}:{model_name}"


class RedisLink:
    """Redis, used when it answers.

    After a failure, reads and writes fail at once for a second instead of each waiting for the time-out;
    deletes are always tried, since a forgotten delete is a wrong answer. It reconnects by itself.

    Args:
        url: ``redis://HOST:PORT/DB``; empty for no cache.
        timeout_seconds: how long one command may take.

    Raises:
        InputError: the URL cannot be used.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._redis = _client(url, timeout_seconds) if url else None
        self._resting_until = 0.0
        self.problem: str | None = None if url else "not configured"

    async def get(self, key: str) -> bytes | None:
        """The value, or None. Raises CacheDown."""
        redis = self._rested()
        value = await self._tried(lambda: redis.get(key))
        return value.encode() if isinstance(value, str) else value

    async def add(self, key: str, value: bytes, ttl_seconds: int) -> bool:
        """Stores a value for some seconds unless there is one; whether it did. Raises CacheDown."""
        redis = self._rested()
        return bool(await self._tried(lambda: redis.set(key, value, ex=ttl_seconds, nx=True)))

    async def delete(self, key: str) -> bool:
        """Deletes one key; whether it was there. Raises CacheDown."""
        redis = self._configured()
        return bool(await self._tried(lambda: redis.delete(key)))

    async def ping(self) -> None:
        """Returns when Redis answers. Raises CacheDown."""
        redis = self._configured()
        await self._tried(lambda: redis.ping())

    async def close(self) -> None:
        """Closes its connections."""
        if self._redis:
            await self._redis.aclose()

    def _configured(self) -> Redis:
        if self._redis is None:
            raise CacheDown("not configured")
        return self._redis

    def _rested(self) -> Redis:
        redis = self._configured()
        if time.monotonic() < self._resting_until:
            raise CacheDown(self.problem or "unreachable")
        return redis

    async def _tried(self, command: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await command()
        except (RedisError, OSError) as error:
            self.problem = str(error) or type(error).__name__
            self._resting_until = time.monotonic() + BACKOFF_SECONDS
            raise CacheDown(self.problem) from error
        self.problem = None
        self._resting_until = 0.0
        return result


def _client(url: str, timeout_seconds: float) -> Redis:
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            # One more try meets a connection that died while idle, for example when Redis was restarted.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    except ValueError as error:
        raise InputError(f"is no Redis URL: {error}", where="REDIS_URL", remedy="use redis://HOST:PORT/DB") from None
