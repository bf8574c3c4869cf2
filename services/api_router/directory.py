"""Where a model is served: Redis first, then the registry.

Only ready entries are in Redis. Whatever else Redis says, or when it says nothing, the registry decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from services.api_router.metrics import RouterMetrics
from services.api_router.refusals import Refusal
from services.redis_link import CacheDown, RedisLink, cache_key

REGISTRY_TIMEOUT = aiohttp.ClientTimeout(total=3.0, sock_connect=1.0)


@dataclass(frozen=True, slots=True)
class Route:
    """A model that is ready, and its endpoint ``HOST:PORT``."""

    model: str
    endpoint: str


class Directory:
    """Finds routes.

    Args:
        environment: whose entries count; another environment's model is unknown here.
        registry_url: the registry service.
        session: HTTP session for the registry.
        cache: Redis.
        metrics: learns which models exist.
    """

    def __init__(
        self,
        environment: str,
        registry_url: str,
        session: aiohttp.ClientSession,
        cache: RedisLink,
        metrics: RouterMetrics,
    ) -> None:
        self._environment = environment
        self._registry_url = registry_url.rstrip("/")
        self._session = session
        self._cache = cache
        self._metrics = metrics

    async def find(self, model: str) -> Route:
        """The route of a model.

        Raises:
            Refusal: it is unknown, disabled or not ready, or nobody can tell.
        """
        entry = await self._cached(model) or await self._registered(model)
        self._metrics.know(model)
        if entry["status"] == "disabled":
            raise Refusal("MODEL_DISABLED", f"model {model} is disabled")
        if entry["status"] != "ready" or not entry["endpoint"]:
            raise Refusal("MODEL_NOT_READY", f"model {model} is not ready (status: {entry['status']})")
        return Route(model, entry["endpoint"])

    async def problems(self) -> dict[str, str]:
        """What is wrong with Redis and the registry: ``ok`` or the problem."""
        try:
            await self._cache.ping()
            redis = "ok"
        except CacheDown as error:
            redis = str(error)
        return {"redis": redis, "registry": await self._registry_problem()}

    async def close(self) -> None:
        """Closes its connections."""
        await self._cache.close()
        await self._session.close()

    async def _cached(self, model: str) -> dict[str, Any] | None:
        try:
            value = await self._cache.get(cache_key(self._environment, model))
        except CacheDown:
            return self._looked_up("redis", "down", None)
        entry = _entry(value or b"")
        if entry is None:
            return self._looked_up("redis", "corrupt" if value else "miss", None)
        if entry["status"] != "ready":
            return self._looked_up("redis", "miss", None)
        return self._looked_up("redis", "hit", entry)

    async def _registered(self, model: str) -> dict[str, Any]:
        path = f"/v1/registry/models/{quote(self._environment, safe='')}/{quote(model, safe='')}"
        try:
            async with self._session.get(
                URL(self._registry_url + path, encoded=True), timeout=REGISTRY_TIMEOUT
            ) as answer:
                status, entry = answer.status, _entry(await answer.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._no_registry(str(error) or type(error).__name__) from error
        if status in {400, 404}:
            self._looked_up("registry", "not_found", None)
            raise Refusal("NOT_FOUND", f"model {model} is not registered in {self._environment}")
        if status != 200 or entry is None:
            raise self._no_registry(f"answered {status}")
        self._looked_up("registry", "found", entry)
        return entry

    async def _registry_problem(self) -> str:
        try:
            url = URL(self._registry_url + "/healthz", encoded=True)
            async with self._session.get(url, timeout=REGISTRY_TIMEOUT) as answer:
                return "ok" if answer.status == 200 else f"answered {answer.status}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return str(error) or type(error).__name__

    def _no_registry(self, problem: str) -> Refusal:
        self._looked_up("registry", "down", None)
        return Refusal("REGISTRY_UNAVAILABLE", f"the model is not cached and the registry does not answer: {problem}")

    def _looked_up(self, source: str, result: str, entry: dict[str, Any] | None) -> dict[str, Any] | None:
        self._metrics.lookups.labels(source, result).inc()
        return entry


def _entry(value: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(value)
    except ValueError:
        return None
    usable = isinstance(entry, dict) and isinstance(entry.get("status"), str) and isinstance(entry.get("endpoint"), str)
    return entry if usable else None
