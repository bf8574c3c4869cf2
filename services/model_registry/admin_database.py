"""admin-cli straight to the database, for when the service is down."""

from __future__ import annotations

from typing import Literal

from redis import Redis
from redis.exceptions import RedisError

from clients.registry import RegistryChange, RegistryEntry
from services.model_registry.entries import Entry
from services.model_registry.store import RegistryStore
from services.redis_link import cache_key

REDIS_TIMEOUT_SECONDS = 2.0


class DatabaseTransport:
    """The registry's database, with the cache cleared after each change when a Redis is given.

    Its methods raise what RegistryStore raises.
    """

    def __init__(self, store: RegistryStore, redis_url: str = "") -> None:
        self._store = store
        self._redis_url = redis_url

    def list(
        self, environment: str | None = None, status: str | None = None, model_name: str | None = None
    ) -> list[RegistryEntry]:
        """The entries that match what is given."""
        return [_shown(entry) for entry in self._store.list(environment, status, model_name)]

    def register(
        self, environment: str, model_name: str, endpoint: str, namespace: str = "system", *, force: bool = False
    ) -> RegistryChange:
        """Registers a model."""
        return self._changed(*self._store.register(environment, model_name, endpoint, namespace, force=force))

    def enable(self, environment: str, model_name: str) -> RegistryChange:
        """Puts a model into traffic."""
        return self._changed(*self._store.enable(environment, model_name))

    def disable(self, environment: str, model_name: str, reason: str = "", owner: str = "") -> RegistryChange:
        """Takes a model out of traffic."""
        return self._changed(*self._store.disable(environment, model_name, reason, owner))

    def _changed(self, before: Entry | None, after: Entry) -> RegistryChange:
        return RegistryChange(
            entry=_shown(after),
            previous_status=before.status if before else "",
            previous_reason=before.reason if before else None,
            previous_owner=before.owner if before else None,
            cache=self._clear(cache_key(after.environment, after.model_name)),
        )

    def _clear(self, key: str) -> Literal["cleared", "absent", "kept"]:
        """Deletes the cached entry; ``kept`` when that cannot be done from here."""
        if not self._redis_url:
            return "kept"
        try:
            with Redis.from_url(self._redis_url, socket_timeout=REDIS_TIMEOUT_SECONDS) as redis:
                return "cleared" if redis.delete(key) else "absent"
        except (RedisError, OSError, ValueError):
            return "kept"


def _shown(entry: Entry) -> RegistryEntry:
    return RegistryEntry.from_json(entry.as_json())
