from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from clients.registry import RegistryClient
from clients.router import RouterClient
from services.api_router.server import build_router, build_runner
from services.model_registry.app import create_app
from services.model_registry.server import build_service
from tests.services.platform_harness import Backend, LoopThread, RedisProcess, loop_thread, redis_process, serving

KEY = "key-of-the-test"
TOKEN = "token-of-the-test"
MODEL = "llama-2-7b"


@pytest.fixture(scope="package")
def thread() -> Iterator[LoopThread]:
    with loop_thread() as thread:
        yield thread


@pytest.fixture(scope="package")
def redis_server() -> Iterator[RedisProcess]:
    with redis_process() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisProcess) -> RedisProcess:
    if redis_server.process is None:
        redis_server.start()
    with redis_server.client() as client:
        client.flushall()
    return redis_server


@pytest.fixture
def backend(thread: LoopThread) -> Iterator[Backend]:
    with closing(Backend(thread)) as backend:
        yield backend


class RegistryServer:
    """A registry that can be stopped; it knows one model, at the backend."""

    def __init__(self, stack: ExitStack, client: RegistryClient) -> None:
        self._stack = stack
        self.client = client
        self.url = client._base_url

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def registry(thread: LoopThread, redis: RedisProcess, backend: Backend, tmp_path: Path) -> Iterator[RegistryServer]:
    async def build() -> web.AppRunner:
        service = build_service(
            {
                "MODEL_REGISTRY_DATA_DIR": str(tmp_path),
                "MODEL_REGISTRY_REDIS_URL": redis.url,
            }
        )
        service.store.create_schema()
        return web.AppRunner(create_app(service, TOKEN), shutdown_timeout=1.0)

    with ExitStack() as stack:
        client = RegistryClient(stack.enter_context(serving(thread, build)), TOKEN)
        client.register("production", MODEL, backend.endpoint)
        yield RegistryServer(stack, client)


StartRouter = Callable[..., RouterClient]


@pytest.fixture
def start_router(thread: LoopThread, registry: RegistryServer, redis: RedisProcess) -> Iterator[StartRouter]:
    with ExitStack() as stack:

        def start(**settings: str) -> RouterClient:
            base = {
                "API_ROUTER_KEYS": f"another,{KEY}",
                "MODEL_REGISTRY_URL": registry.url,
                "REDIS_URL": redis.url,
                "ENVIRONMENT": "production",
            }

            async def build() -> web.AppRunner:
                return build_runner(build_router({**base, **settings}), drain_seconds=1.0)

            url = stack.enter_context(serving(thread, build))
            return RouterClient(url, KEY, timeout_seconds=10)

        yield start


@pytest.fixture
def router(start_router: StartRouter) -> RouterClient:
    return start_router()


@pytest.fixture
def connect(router: RouterClient) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    """Connections to the router for tests that look at bytes and headers."""
    with ExitStack() as stack:

        def open_connection() -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(urlsplit(router._base_url).netloc, timeout=10)
            stack.callback(connection.close)
            return connection

        yield open_connection
