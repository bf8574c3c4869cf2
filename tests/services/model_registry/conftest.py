from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from clients.registry import RegistryClient
from services.model_registry.app import create_app
from services.model_registry.server import build_service
from tests.services.platform_harness import LoopThread, RedisProcess, loop_thread, redis_process, serving

TOKEN = "token-of-the-test"


@pytest.fixture(scope="package")
def thread() -> Iterator[LoopThread]:
    with loop_thread() as thread:
        yield thread


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    with redis_process() as server:
        yield server


StartRegistry = Callable[..., RegistryClient]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def start_registry(thread: LoopThread, database_url: str) -> Iterator[StartRegistry]:
    with ExitStack() as stack:

        def start(**settings: str) -> RegistryClient:
            async def build() -> web.AppRunner:
                service = build_service({"MODEL_REGISTRY_DATABASE_URL": database_url, **settings})
                service.store.create_schema()
                return web.AppRunner(create_app(service, TOKEN), shutdown_timeout=1.0)

            return RegistryClient(stack.enter_context(serving(thread, build)), TOKEN, owner="the test")

        yield start
