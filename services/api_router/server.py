"""The process of the API router.

| variable | meaning |
|---|---|
| `API_ROUTER_KEYS` | API keys of clients, separated by commas; needed |
| `MODEL_REGISTRY_URL` | the registry service; needed |
| `REDIS_URL` | the registry's cache; without it the registry is asked for each request |
| `ENVIRONMENT` | whose models are routed (development) |
| `API_ROUTER_CONNECT_TIMEOUT_SECONDS` | for a backend to accept a connection (2) |
| `API_ROUTER_FIRST_BYTE_TIMEOUT_SECONDS` | for a backend to begin its answer (30) |
| `API_ROUTER_IDLE_TIMEOUT_SECONDS` | between two chunks of an answer (30) |
| `API_ROUTER_LAME_DUCK_SECONDS` | after SIGTERM, for others to learn that it leaves; it still serves (1) |
| `API_ROUTER_DRAIN_SECONDS` | after that, for the requests under way (9) |
| `HOST`, `HTTP_PORT` | where to listen (the pod's address or 127.0.0.1, port 8080) |
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

import aiohttp
from aiohttp import web

from clients.errors import InputError
from clients.http_json import check_base_url
from services import serving
from services.api_router.app import Router
from services.api_router.backend import DNS_CACHE_SECONDS, Backends, Limits
from services.api_router.directory import Directory
from services.api_router.metrics import RouterMetrics
from services.redis_link import RedisLink

logger = logging.getLogger(__name__)

PORT = 8080
DEFAULT_ENVIRONMENT = "development"
LAME_DUCK_SECONDS = 1.0
DRAIN_SECONDS = 9.0


def build_router(environment: Mapping[str, str]) -> Router:
    """The router that the environment describes; nothing connects yet. Needs a running event loop.

    Raises:
        InputError: a setting cannot be used.
    """
    keys = [key.strip() for key in environment.get("API_ROUTER_KEYS", "").split(",") if key.strip()]
    if not keys:
        raise InputError("no API key is set", where="API_ROUTER_KEYS", remedy="set keys, separated by commas")
    limits = Limits(
        connect_seconds=serving.seconds(environment, "API_ROUTER_CONNECT_TIMEOUT_SECONDS", 2.0),
        first_byte_seconds=serving.seconds(environment, "API_ROUTER_FIRST_BYTE_TIMEOUT_SECONDS", 30.0),
        idle_seconds=serving.seconds(environment, "API_ROUTER_IDLE_TIMEOUT_SECONDS", 30.0),
    )
    registry_url = check_base_url(environment.get("MODEL_REGISTRY_URL", ""), where="MODEL_REGISTRY_URL")
    cache = RedisLink(environment.get("REDIS_URL", ""))
    metrics = RouterMetrics()
    whose = environment.get("ENVIRONMENT", "") or DEFAULT_ENVIRONMENT
    directory = Directory(whose, registry_url, _registry_session(), cache, metrics)
    return Router(keys, directory, Backends(limits, metrics), metrics)


def _registry_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ttl_dns_cache=DNS_CACHE_SECONDS, resolver=aiohttp.ThreadedResolver())
    return aiohttp.ClientSession(connector=connector)


def build_runner(router: Router, drain_seconds: float) -> web.AppRunner:
    """What serves the router; requests under way get ``drain_seconds`` when it is stopped.

    Cancelling the handler of a client that has left is what stops the backend's work for it.
    """
    return web.AppRunner(
        router.application(), access_log=None, handler_cancellation=True, shutdown_timeout=drain_seconds
    )


async def run(environment: Mapping[str, str]) -> None:
    """Serves until it is told to stop, then drains.

    Raises:
        InputError, EnvironmentUnusable: a setting cannot be used.
    """
    host, port = serving.listen_host(environment), serving.listen_port(environment, PORT)
    lame_duck_seconds = serving.seconds(environment, "API_ROUTER_LAME_DUCK_SECONDS", LAME_DUCK_SECONDS)
    drain_seconds = serving.seconds(environment, "API_ROUTER_DRAIN_SECONDS", DRAIN_SECONDS)
    router = build_router(environment)

    async def leave() -> None:
        router.draining = True
        await asyncio.sleep(lame_duck_seconds)

    await serving.serve(build_runner(router, drain_seconds), host, port, before_stop=leave)


def main() -> int:
    """Entry point of the image's ``api-router``."""
    return serving.run_service(lambda: run(os.environ))


if __name__ == "__main__":
    raise SystemExit(main())
