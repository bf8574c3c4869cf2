"""A running API server on a free port, and clients for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.embedded.apiserver.auth import kubeconfig
from cluster.embedded.apiserver.bootstrap import bootstrap
from cluster.embedded.apiserver.http import ApiServer
from cluster.embedded.apiserver.pod_streams import ExecSession, LogOptions, PodConnection, PortUnreachable
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.tls import create_tls_files
from cluster.embedded.resources import NAMESPACES, NODES
from cluster.embedded.store import Store

TOKEN = "a-test-token"


class EchoSession:
    """Plays a few commands: cat (stdin to stdout), exit N, and anything else prints its arguments."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.killed = False
        self.sizes: list[tuple[int, int]] = []

    async def write_stdin(self, data: bytes) -> None:
        await self._stdin.put(data)

    async def close_stdin(self) -> None:
        await self._stdin.put(None)

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self._command[0] == "cat":
            while (data := await self._stdin.get()) is not None:
                yield 1, data
        elif self._command[0] == "exit":
            yield 2, b"about to fail\n"
        else:
            yield 1, " ".join(self._command).encode() + b"\n"

    async def wait(self) -> int:
        return int(self._command[1]) if self._command[0] == "exit" else 0

    async def kill(self) -> None:
        self.killed = True


@dataclass
class FakeStreams:
    """Logs and commands of containers that do not exist."""

    lines: list[bytes] = field(default_factory=lambda: [b"first\n", b"second\n"])
    asked: list[LogOptions] = field(default_factory=list)
    sessions: list[EchoSession] = field(default_factory=list)
    follow_until: threading.Event = field(default_factory=threading.Event)

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.previous:
            raise failure(400, "BadRequest", f'previous terminated container "{container}" in pod "{pod}" not found')
        for line in self.lines[-options.tail_lines :] if options.tail_lines else self.lines:
            yield line
        while options.follow and not self.follow_until.is_set():
            await asyncio.sleep(0.01)

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        if command == ["no-such-program"]:
            raise failure(400, "BadRequest", "no such program")
        self.sessions.append(EchoSession(command))
        return self.sessions[-1]

    async def reach(self, namespace: str, pod: str) -> None:
        """Every pod can be reached."""

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        return await self.exec(namespace, pod, container, ["cat"], stdin=True, tty=False)

    async def connect(self, namespace: str, pod: str, port: int) -> PodConnection:
        raise PortUnreachable(f"nothing listens on {port}")


@dataclass
class Cluster:
    """A server that runs in a thread of its own."""

    url: str
    ca_pem: str
    folder: Path
    registry: Registry
    streams: FakeStreams
    loop: asyncio.AbstractEventLoop
    server: ApiServer

    @property
    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        path.write_text(kubeconfig(self.url, self.ca_pem, TOKEN, "test"))
        return path

    @property
    def ca_file(self) -> Path:
        path = self.folder / "ca.crt"
        path.write_text(self.ca_pem)
        return path

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a synchronous function in the server's event loop."""

        async def run() -> Any:
            return function(*args, **kwargs)

        return self.run(run())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    tls = create_tls_files(tmp_path)
    registry, streams = Registry(Store()), FakeStreams()
    server = ApiServer(
        registry,
        token=TOKEN,
        tls=tls,
        pod_streams=streams,
        request_seconds=2,
        slow_client_seconds=0.5,
        bookmark_period_seconds=0.2,
    )

    async def start() -> int:
        bootstrap(registry)
        registry.create(NAMESPACES, {"metadata": {"name": "system"}})
        registry.create(NODES, {"metadata": {"name": "node-1"}})
        return await server.start()

    port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield Cluster(f"https://127.0.0.1:{port}", tls.ca_pem, tmp_path, registry, streams, loop, server)
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@dataclass
class Http:
    """A plain HTTP client with the token."""

    session: Any
    url: str

    def __call__(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", **headers: str
    ) -> Any:
        data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        sent = {"Content-Type": content_type, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return self.session.request(method, f"{self.url}{path}", data=data, headers=sent, timeout=10)


@pytest.fixture
def http(cluster: Cluster) -> Iterator[Http]:
    import requests

    with requests.Session() as session:
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over verify
        session.verify = str(cluster.ca_file)
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield Http(session, cluster.url)


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Any]:
    """An ApiClient of the Python kubernetes client."""
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as api_client:
        yield api_client
