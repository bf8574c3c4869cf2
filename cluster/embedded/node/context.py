"""What the parts of a node share, and what the containers of one pod share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cluster
from cluster.embedded.client import ApiClient
from cluster.embedded.node import podspec
from cluster.embedded.node.cpu import CpuMonitor
from cluster.embedded.node.images import ImageMap
from cluster.embedded.node.kubelet import Kubelet
from cluster.embedded.node.memory import MemoryMonitor
from cluster.embedded.node.processes import Launcher
from cluster.embedded.node.settings import NodeSettings, PodNetwork, Recorder
from cluster.embedded.node.tokens import PodTokens
from cluster.embedded.node.volumes import PodVolumes
from cluster.embedded.resources import Object

log = logging.getLogger(__name__)

PROJECT_ROOT = Path(cluster.__file__).resolve().parents[1]
"""The folder that holds the project's packages; images run programs from it."""


class Gpus:
    """The GPUs of the node by index, and who holds them."""

    def __init__(self) -> None:
        self._holders: dict[int, str] = {}

    def allocate(self, holder: str, count: int) -> tuple[int, ...]:
        """The lowest free indices; the same ones again for the same holder."""
        held = tuple(sorted(index for index, name in self._holders.items() if name == holder))
        if held or not count:
            return held
        free = (index for index in range(len(self._holders) + count) if index not in self._holders)
        chosen = tuple(next(free) for _ in range(count))
        self._holders |= dict.fromkeys(chosen, holder)
        return chosen

    def release(self, pod_uid: str) -> None:
        """Free what the containers of a pod hold."""
        prefix = f"{pod_uid}/"
        self._holders = {i: name for i, name in self._holders.items() if not name.startswith(prefix)}


@dataclass(frozen=True)
class NodeContext:
    """Shared by all pods of a node."""

    client: ApiClient
    settings: NodeSettings
    images: ImageMap
    network: PodNetwork
    recorder: Recorder
    launcher: Launcher
    monitor: MemoryMonitor
    cpu: CpuMonitor
    gpus: Gpus
    tokens: PodTokens
    kubelet: Kubelet
    interpreter_folder: Path

    @property
    def base_environment(self) -> dict[str, str]:
        """What every container gets from the cluster."""
        settings = self.settings
        variables = {"CLUSTER_DNS": settings.dns, "CLUSTER_DOMAIN": settings.cluster_domain}
        if settings.relay:
            variables["CLUSTER_RELAY"] = settings.relay
        if settings.service_host:
            variables |= {
                "KUBERNETES_SERVICE_HOST": settings.service_host,
                "KUBERNETES_SERVICE_PORT": str(settings.service_port),
                "KUBERNETES_SERVICE_PORT_HTTPS": str(settings.service_port),
            }
        return variables


@dataclass
class PodContext:
    """Shared by the containers of a pod.

    Attributes:
        pod: the pod as last seen.
        facts: what the downward API can say beside the object (``podIP``, ``hostIP``, ``cpu``, ``memory``).
        publish: writes the status, if it changed.
        began: the event loop's time at which the node took the pod; probes tick from there.
    """

    node: NodeContext
    pod: Object
    folder: Path
    volumes: PodVolumes
    publish: Callable[[], Awaitable[None]]
    began: float
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ip(self) -> str:
        return self.facts.get("podIP", "")

    def event(self, container_name: str, event_type: str, reason: str, message: str) -> None:
        """Record an event about a container of the pod; with an empty name about the pod."""
        path = podspec.field_path(self.pod, container_name) if container_name else ""
        self.node.recorder.event(self.pod, event_type, reason, message, field_path=path)


def background(work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
    """A task whose failure is logged, since nobody may be waiting for it."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: _report(done, what))
    return task


def _report(task: asyncio.Task[None], what: str) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed", what, exc_info=error)


class StopFlag:
    """Tells a coroutine to leave, and lets it sleep until then."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Wait until the flag is set."""
        await self._event.wait()

    async def pause(self, seconds: float) -> bool:
        """Wait for so long, or until the flag is set. Returns whether to go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._event.wait()
        return not self._event.is_set()


def make_interpreter_folder(folder: Path) -> None:
    """Fill a folder with ``python`` and ``python3``, which start the interpreter this process runs on.

    They are scripts: a symbolic link to the interpreter of a virtual environment would lose the environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)


def search_path(own: list[Path | None], given: Mapping[str, str], name: str, default: str = "") -> str:
    """A search path variable: the cluster's folders, then what image or pod set, or the default."""
    folders = [str(folder) for folder in own if folder is not None]
    return ":".join([*folders, *filter(None, [given.get(name) or default])])
