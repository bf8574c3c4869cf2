"""Starts the four programs, waits until they serve, and stops them; notices when one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clients.errors import DeadlineExceeded, EnvironmentUnusable
from cluster.embedded.client import ApiError
from cluster.embedded.http_client import HttpClient
from cluster.embedded.kubeconfig import Credentials
from cluster.embedded.node.processes import Launcher, Running
from cluster.embedded.node.watchdog import kill
from cluster.envtest import flags
from cluster.envtest.binaries import Binaries
from cluster.envtest.files import ADMIN, CONTROLLER_MANAGER, SCHEDULER, ControlPlaneFiles
from cluster.envtest.flags import Places

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
"""How long they have together to end by themselves."""
_POLL_SECONDS = 0.1
_LAST_LINES = 5
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "GOMAXPROCS", "GOMEMLIMIT", "PYTHONPATH")
"""Variables of ours that the programs get."""


@dataclass(frozen=True, slots=True)
class Program:
    """One of the programs, running; its output goes to ``log``."""

    name: str
    running: Running
    log: Path

    def failure(self) -> EnvironmentUnusable:
        """Why it ended, as far as its log says."""
        code = self.running.exited.result() if self.running.exited.done() else "unknown"
        return EnvironmentUnusable(f"{self.name} ended with code {code}: {_last_words(self.log)}", where=str(self.log))


class ControlPlane:
    """The programs of one cluster.

    Args:
        binaries: where they are.
        places: where they listen.
        files: certificates and tokens.
        state_dir: for etcd's data, the kubeconfigs and (in ``logs``) what the programs print.
    """

    def __init__(self, binaries: Binaries, places: Places, files: ControlPlaneFiles, state_dir: Path) -> None:
        self._binaries, self._places, self._files, self._state_dir = binaries, places, files, state_dir
        self._launcher = Launcher()
        self._programs: list[Program] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The programs serve within the block. Raises EnvironmentUnusable and DeadlineExceeded."""
        (self._state_dir / "logs").mkdir(parents=True, exist_ok=True)
        self._launcher.start()
        try:
            await self._start()
            yield
        finally:
            await self._stop()

    async def failed(self) -> None:
        """Wait until a program ends, and raise EnvironmentUnusable: half a control plane is none."""
        ends = {program.running.exited: program for program in self._programs}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        raise ends[done.pop()].failure()

    async def _start(self) -> None:
        places, files = self._places, self._files
        self._run("etcd", self._binaries.etcd, flags.etcd(places, files, self._state_dir / "etcd"))
        self._run("kube-apiserver", self._binaries.apiserver, flags.apiserver(places, files))
        admin = files.credentials(places.server, ADMIN)
        await self._until_healthy("kube-apiserver", admin, "/readyz")
        managed, scheduled = self._kubeconfig(CONTROLLER_MANAGER), self._kubeconfig(SCHEDULER)
        manager = flags.controller_manager(places, files, managed)
        self._run("kube-controller-manager", self._binaries.controller_manager, manager)
        self._run("kube-scheduler", self._binaries.scheduler, flags.scheduler(places, files, scheduled))
        for name, port in (
            ("kube-controller-manager", places.controller_manager),
            ("kube-scheduler", places.scheduler),
        ):
            at = replace(admin, server=f"https://{places.address}:{port}", token="")
            await self._until_healthy(name, at, "/healthz")

    def _kubeconfig(self, user: str) -> Path:
        path = self._files.folder / f"{user.removeprefix('system:')}.kubeconfig"
        return self._files.write_kubeconfig(path, self._places.server, user, "envtest")

    def _run(self, name: str, program: Path, arguments: list[str]) -> None:
        log = self._state_dir / "logs" / f"{name}.log"
        with log.open("wb") as output:
            running = self._launcher.spawn(
                [str(program), *arguments],
                env=_environment(os.environ),
                cwd=self._state_dir,
                identity=f"{self._state_dir}/{name}",
                stdout=output,
                stderr=output,
            )
        self._programs.append(Program(name, running, log))

    async def _until_healthy(self, name: str, credentials: Credentials, path: str) -> None:
        failed = asyncio.create_task(self.failed())
        healthy = asyncio.create_task(_answers_ok(credentials, path))
        try:
            done, _ = await asyncio.wait({failed, healthy}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                log = self._state_dir / "logs" / f"{name}.log"
                problem = f"{name} did not become healthy within {READY_SECONDS:.0f} s: {_last_words(log)}"
                raise DeadlineExceeded(problem, where=str(log))
            done.pop().result()
        finally:
            for task in (failed, healthy):
                task.cancel()
            await asyncio.gather(failed, healthy, return_exceptions=True)

    async def _stop(self) -> None:
        """The last one started goes first: each leaves while those that it talks to are there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        for program in reversed(self._programs):
            exited = program.running.exited
            if not exited.done():
                kill(program.running.pid, signal.SIGTERM)
                await asyncio.wait({exited}, timeout=max(0.0, deadline - loop.time()))
        self._launcher.stop()


def free_ports(address: str, count: int) -> list[int]:
    """Ports of an address that nobody else uses, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]


async def _answers_ok(credentials: Credentials, path: str) -> None:
    """Wait until a health endpoint says ok. There is nothing to watch before there is a server: it is asked."""
    async with HttpClient(credentials, manager="gameday") as client:
        while True:
            with contextlib.suppress(ApiError):
                await client.text(path)
                return
            await asyncio.sleep(_POLL_SECONDS)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {key: ours[key] for key in _PASSED_ON if key in ours}


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_LAST_LINES:]) or "it printed nothing"
