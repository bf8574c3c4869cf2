"""The images' programs as processes: together, and while they are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.errors import GamedayError
from clients.registry import RegistryClient
from clients.router import RouterClient
from tests.services.platform_harness import (
    LAST_CHUNK,
    SSE_HEAD,
    Backend,
    BackendCall,
    RedisProcess,
    chunk,
    event,
    wait_until,
)

from .conftest import KEY, MODEL, TOKEN, RegistryServer

IMAGES = Path(__file__).parents[3] / "services" / "images"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def pod_ip() -> str:
    """A loopback address of the test's own, outside the clusters' ranges."""
    return f"127.250.{random.randrange(256)}.{random.randrange(1, 255)}"


class Program:
    """A program of an image; its log is kept."""

    def __init__(self, image: str, name: str, *arguments: str, **settings: str) -> None:
        self.log = ""
        self.process = subprocess.Popen(
            [IMAGES / image / "bin" / name, *arguments],
            env={"PATH": PATH, **settings},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log += line

    @property
    def url(self) -> str:
        """Where it listens, once it has said so."""
        wait_until(lambda: "listening on" in self.log, 15, "the log line")
        found = re.search(r"listening on (\S+)", self.log)
        assert found is not None
        return f"http://{found[1]}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def programs() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def run(stack: contextlib.ExitStack, image: str, name: str, *arguments: str, **settings: str) -> Program:
    return stack.enter_context(contextlib.closing(Program(image, name, *arguments, **settings)))


def answers_ping(address: str) -> bool:
    done = subprocess.run(
        [IMAGES / "redis" / "bin" / "redis-cli", "ping"],
        env={"PATH": PATH, "POD_IP": address},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return done.stdout == "PONG\n"


def test_the_three_images_serve_a_completion_together(
    programs: contextlib.ExitStack, pod_ip: str, backend: Backend, tmp_path: Path
) -> None:
    run(programs, "redis", "redis-server", "--maxmemory", "64mb", POD_IP=pod_ip)
    redis_url = f"redis://{pod_ip}:6379/0"
    registry = run(
        programs,
        "model-registry",
        "model-registry",
        MODEL_REGISTRY_TOKEN=TOKEN,
        MODEL_REGISTRY_DATA_DIR=str(tmp_path / "data"),
        MODEL_REGISTRY_REDIS_URL=redis_url,
        HOST=pod_ip,
        HTTP_PORT="0",
    )
    router = run(
        programs,
        "api-router",
        "api-router",
        API_ROUTER_KEYS=KEY,
        MODEL_REGISTRY_URL=registry.url,
        REDIS_URL=redis_url,
        ENVIRONMENT="production",
        HTTP_PORT="0",
    )
    wait_until(lambda: answers_ping(pod_ip), what="redis-cli ping")
    assert router.url.startswith("http://127.0.0.1:")
    client = RegistryClient(registry.url, TOKEN, owner="on-call")
    client.register("production", MODEL, backend.endpoint)
    assert RouterClient(router.url, KEY).complete(MODEL).text == "hi"
    client.disable("production", MODEL, "drill", "alice")
    assert RouterClient(router.url, KEY).complete(MODEL).code == "MODEL_DISABLED"
    wait_until(lambda: f"disable production/{MODEL} by alice: ready -> disabled" in registry.log, what="the log line")
    assert TOKEN not in registry.log + router.log
    assert KEY not in registry.log + router.log
    registry.process.send_signal(signal.SIGTERM)
    assert registry.process.wait(10) == 0


def test_a_router_that_is_stopped_finishes_its_streams(
    programs: contextlib.ExitStack, backend: Backend, registry: RegistryServer, redis: RedisProcess
) -> None:
    released = asyncio.Event()

    async def behave(call: BackendCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD + chunk(event("one")))
        await writer.drain()
        await released.wait()
        writer.write(chunk(b"data: [DONE]\n\n") + LAST_CHUNK)

    backend.behaviour = behave
    router = run(
        programs,
        "api-router",
        "api-router",
        API_ROUTER_KEYS=KEY,
        MODEL_REGISTRY_URL=registry.url,
        REDIS_URL=redis.url,
        ENVIRONMENT="production",
        HTTP_PORT="0",
        API_ROUTER_LAME_DUCK_SECONDS="0.3",
    )
    client = RouterClient(router.url, KEY)
    assert client.ready()
    request = urllib.request.Request(
        router.url + "/v1/completions",
        json.dumps({"model": MODEL, "prompt": "x", "stream": True}).encode(),
        {"Authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.readline() == event("one").splitlines(keepends=True)[0]
        router.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not client.ready(), 5, "not ready while it still listens")
        wait_until(lambda: not listens(router.url), what="a closed listener")
        assert router.process.poll() is None
        backend._thread.loop.call_soon_threadsafe(released.set)
        assert answer.read().endswith(b"data: [DONE]\n\n")
    assert router.process.wait(10) == 0


def test_a_router_does_not_wait_longer_than_its_drain_time(
    programs: contextlib.ExitStack, backend: Backend, registry: RegistryServer
) -> None:
    async def hang(call: BackendCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    backend.behaviour = hang
    router = run(
        programs,
        "api-router",
        "api-router",
        API_ROUTER_KEYS=KEY,
        MODEL_REGISTRY_URL=registry.url,
        ENVIRONMENT="production",
        HTTP_PORT="0",
        API_ROUTER_LAME_DUCK_SECONDS="0",
        API_ROUTER_DRAIN_SECONDS="0.3",
    )
    client = RouterClient(router.url, KEY)

    def ask() -> None:
        with contextlib.suppress(GamedayError):
            client.complete(MODEL)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: bool(backend.calls), what="the call")
    stopped = time.monotonic()
    router.process.send_signal(signal.SIGTERM)
    assert router.process.wait(10) == 0
    assert time.monotonic() - stopped < 3
    asking.join(5)


def listens(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "API_ROUTER_KEYS"),
        ({"API_ROUTER_KEYS": " , "}, "API_ROUTER_KEYS"),
        ({"API_ROUTER_KEYS": KEY}, "MODEL_REGISTRY_URL"),
        ({"API_ROUTER_KEYS": KEY, "MODEL_REGISTRY_URL": "http://h:1", "REDIS_URL": "h:1"}, "REDIS_URL"),
        ({"API_ROUTER_KEYS": KEY, "API_ROUTER_IDLE_TIMEOUT_SECONDS": "soon"}, "API_ROUTER_IDLE_TIMEOUT_SECONDS"),
    ],
)
def test_a_router_refuses_to_start_and_names_the_setting(settings: dict[str, str], named: str) -> None:
    with contextlib.closing(Program("api-router", "api-router", **settings)) as program:
        assert program.process.wait(15) == 2
        program._reader.join(5)
        assert named in program.log
        assert "Traceback" not in program.log
        assert KEY not in program.log


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = {"API_ROUTER_KEYS": KEY, "MODEL_REGISTRY_URL": "http://h:1", "HTTP_PORT": port}
        with contextlib.closing(Program("api-router", "api-router", **settings)) as program:
            assert program.process.wait(15) == 2
            program._reader.join(5)
            assert f"127.0.0.1:{port}" in program.log
            assert "Traceback" not in program.log
