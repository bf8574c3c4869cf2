"""A node agent on an API in memory, with real container processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.pod_streams import LogOptions
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.node.agent import NodeAgent
from cluster.embedded.node.images import ImageMap
from cluster.embedded.node.settings import NodeSettings
from cluster.embedded.node.watchdog import MARKER
from cluster.embedded.resources import NAMESPACES, PODS, Object
from cluster.embedded.store import Store

NAMESPACE = "test"
_SUBNETS = itertools.count(1)


@dataclass
class Event:
    """One recorded event."""

    pod: str
    type: str
    reason: str
    message: str
    path: str
    at: float


@dataclass
class Events:
    """A recorder that keeps every event."""

    seen: list[Event] = field(default_factory=list)

    def event(self, obj: Object, event_type: str, reason: str, message: str, *, field_path: str = "") -> None:
        at = asyncio.get_running_loop().time()
        self.seen.append(Event(obj["metadata"]["name"], event_type, reason, message, field_path, at))

    def forget(self) -> None:
        """Every event is kept anyway."""

    def reasons(self, pod: str) -> list[str]:
        return [event.reason for event in self.seen if event.pod == pod]

    def messages(self, pod: str, reason: str) -> list[str]:
        return [event.message for event in self.seen if (event.pod, event.reason) == (pod, reason)]

    def times(self, pod: str, reason: str) -> list[float]:
        return [event.at for event in self.seen if (event.pod, event.reason) == (pod, reason)]


class Addresses:
    """Loopback addresses that no other test process uses."""

    def __init__(self) -> None:
        self._prefix = f"127.{os.getpid() % 200 + 20}.{next(_SUBNETS) % 250}"
        self._next = itertools.count(1)
        self.held: dict[str, str] = {}

    def allocate(self, pod_uid: str) -> str:
        return self.held.setdefault(pod_uid, f"{self._prefix}.{next(self._next)}")

    def release(self, pod_uid: str) -> None:
        self.held.pop(pod_uid, None)


@dataclass
class Lab:
    """A running node."""

    client: LocalClient
    agent: NodeAgent
    events: Events
    addresses: Addresses
    settings: NodeSettings
    history: list[Object] = field(default_factory=list)

    async def run(self, name: str, container: Object | None = None, **spec: Any) -> Object:
        """Create a pod that is bound to the node; ``app`` is its container unless the spec names others."""
        body = {
            "nodeName": self.settings.name,
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "app", "image": "lab.local/app:1", **(container or {})}],
            **spec,
        }
        pod = {"metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}, "spec": body}
        return await self.client.create(PODS, pod)

    async def pod(self, name: str) -> Object:
        return await self.client.get(PODS, name, NAMESPACE)

    async def until(self, name: str, holds: Callable[[Object], object], timeout_seconds: float = 10) -> Object:
        """The first version of the pod that fulfils the condition."""
        try:
            async with asyncio.timeout(timeout_seconds):
                listed = await self.client.list(PODS, NAMESPACE, fields=f"metadata.name={name}")
                for pod in listed.items:
                    if holds(pod):
                        return pod
                async for event in self.client.watch(
                    PODS, NAMESPACE, resource_version=listed.resource_version, fields=f"metadata.name={name}"
                ):
                    if event.type != "DELETED" and holds(event.object):
                        return event.object
        except TimeoutError:
            pytest.fail(f"not seen in {timeout_seconds} s; the pod is {await self.pod(name)}")
        raise AssertionError("the watch ended")

    async def gone(self, name: str, timeout_seconds: float = 10) -> None:
        async with asyncio.timeout(timeout_seconds):
            while True:
                try:
                    await self.pod(name)
                except ApiError as error:
                    if error.code == 404:
                        return
                    raise
                await asyncio.sleep(0.01)

    async def eventually(self, holds: Callable[[], object], timeout_seconds: float = 10) -> None:
        async with asyncio.timeout(timeout_seconds):
            while not holds():
                await asyncio.sleep(0.01)

    async def log(self, pod: str, container: str = "", **options: Any) -> str:
        chunks = [chunk async for chunk in self.agent.logs(NAMESPACE, pod, container, LogOptions(**options))]
        return b"".join(chunks).decode()


def app(pod: Object) -> Object:
    """Status of the container ``app``; empty before the node reported."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((status for status in statuses if status["name"] == "app"), {"state": {}, "lastState": {}})


def condition(pod: Object, kind: str) -> Object:
    return next((c for c in pod["status"].get("conditions") or [] if c["type"] == kind), {})


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def python(source: str) -> list[str]:
    """A command that runs Python source."""
    return ["python3", "-uc", textwrap.dedent(source)]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def processes_of(state: Path) -> list[int]:
    """Processes whose environment names the state folder: everything that was started for its pods."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            alive = stat.rpartition(")")[2].split()[0] != "Z"
            if alive and MARKER.encode() in environment and str(state).encode() in environment:
                found.append(int(entry.name))
    return found


@pytest.fixture
def image_map(tmp_path: Path) -> Path:
    """A map with the image ``lab.local/app``, which has a program ``hello``."""
    programs = tmp_path / "images" / "app" / "bin"
    programs.mkdir(parents=True)
    hello = programs / "hello"
    hello.write_text("#!/usr/bin/env python3\nimport sys\nprint('hello', *sys.argv[1:])\n")
    hello.chmod(0o755)
    path = tmp_path / "images.yaml"
    path.write_text(
        "images:\n"
        "  - repository: app\n"
        "    entrypoint: [hello]\n"
        "    cmd: [world]\n"
        "    bin: images/app/bin\n"
        "    env: {FROM_IMAGE: 'yes'}\n"
    )
    return path


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return NodeSettings(
        name="node-1",
        address="127.0.0.1",
        root=tmp_path / "node",
        capacity={"cpu": "8", "memory": "16Gi", "pods": "110", "nvidia.com/gpu": "4"},
        restart_backoff_base_seconds=0.4,
        sync_period_seconds=0.2,
        dns="127.0.0.1:5300",
    )


@pytest.fixture
def node(settings: NodeSettings, image_map: Path) -> Callable[..., Any]:
    """``async with node() as lab``: a node that runs inside the block; settings can be changed by keyword."""

    @asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Lab]:
        chosen = replace(settings, **changes)
        client, events, addresses = LocalClient(Registry(Store())), Events(), Addresses()
        for namespace in (NAMESPACE, "kube-node-lease"):
            with suppress(ApiError):
                await client.create(NAMESPACES, {"metadata": {"name": namespace}})
        agent = NodeAgent(client, chosen, ImageMap.load(image_map), addresses, events)
        task = asyncio.create_task(agent.run())
        try:
            yield Lab(client, agent, events, addresses, chosen)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert processes_of(chosen.root) == []

    return running


def run(scenario: Coroutine[Any, Any, None] | Awaitable[None]) -> None:
    """Run a scenario on an event loop of its own."""

    async def wrapped() -> None:
        await scenario

    asyncio.run(wrapped(), debug=False)
