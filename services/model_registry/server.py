"""The process of the model registry.

| variable | meaning |
|---|---|
| `MODEL_REGISTRY_TOKEN` | bearer token for changes; needed |
| `MODEL_REGISTRY_DATA_DIR` | folder for the SQLite database |
| `MODEL_REGISTRY_DATABASE_URL` | another database, SQLite or PostgreSQL |
| `MODEL_REGISTRY_REDIS_URL` | the cache; without it there is none |
| `CACHE_TTL_SECONDS` | time to live of a cached entry (120) |
| `MODEL_REGISTRY_INVALIDATE` | `false` is a fault for experiments: changes leave the cache alone |
| `HOST`, `HTTP_PORT` | where to listen (the pod's address or 127.0.0.1, port 8081) |
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

from aiohttp import web

from clients.errors import EnvironmentUnusable, InputError
from services import serving
from services.model_registry.app import create_app
from services.model_registry.cache import RegistryCache
from services.model_registry.database import database_url, open_engine
from services.model_registry.service import RegistryService
from services.model_registry.store import RegistryStore
from services.redis_link import RedisLink

logger = logging.getLogger(__name__)

PORT = 8081
TTL_SECONDS = 120
STOP_SECONDS = 5.0
DATABASE_RETRY_SECONDS = 0.5
DATABASE_WAIT_SECONDS = 30


def build_service(environment: Mapping[str, str]) -> RegistryService:
    """The registry that the environment describes; nothing connects yet.

    Raises:
        InputError, EnvironmentUnusable: a setting cannot be used.
    """
    ttl_seconds = serving.integer(environment, "CACHE_TTL_SECONDS", TTL_SECONDS)
    if ttl_seconds < 1:
        raise InputError(f"{ttl_seconds} is no time to live", where="CACHE_TTL_SECONDS", remedy="use 1 or more")
    cache = RegistryCache(
        RedisLink(environment.get("MODEL_REGISTRY_REDIS_URL", "")),
        ttl_seconds=ttl_seconds,
        invalidate=serving.switch(environment, "MODEL_REGISTRY_INVALIDATE", True),
    )
    return RegistryService(RegistryStore(open_engine(database_url(environment))), cache)


async def run(environment: Mapping[str, str]) -> None:
    """Serves until it is told to stop.

    Raises:
        InputError, EnvironmentUnusable: a setting cannot be used, or the database does not answer.
    """
    host, port = serving.listen_host(environment), serving.listen_port(environment, PORT)
    service = build_service(environment)
    app = create_app(service, environment.get("MODEL_REGISTRY_TOKEN", ""))
    await _create_schema(service.store)
    if not service.cache.invalidate:
        logger.warning("the stale-cache fault is on: changes leave the cache alone")
    await serving.serve(web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS), host, port)


async def _create_schema(store: RegistryStore) -> None:
    """Waits for the database, which may start at the same time."""
    deadline = asyncio.get_running_loop().time() + DATABASE_WAIT_SECONDS
    while True:
        try:
            return await asyncio.to_thread(store.create_schema)
        except EnvironmentUnusable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            logger.warning("waiting for the database: %s", error)
        await asyncio.sleep(DATABASE_RETRY_SECONDS)


def main() -> int:
    """Entry point of the image's ``model-registry``."""
    return serving.run_service(lambda: run(os.environ))


if __name__ == "__main__":
    raise SystemExit(main())
