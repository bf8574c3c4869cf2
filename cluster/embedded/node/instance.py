"""One run of a container: its process, its log, the commands that run beside it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.embedded.node.console import AttachSession, Console
from cluster.embedded.node.cpu import CpuMonitor, Quota, can_exceed
from cluster.embedded.node.logs import ContainerLog
from cluster.embedded.node.memory import Charge, MemoryMonitor
from cluster.embedded.node.probes import ProgramMissing
from cluster.embedded.node.processes import Launcher, Running

_LOG_DRAIN_SECONDS = 0.5
_LONGEST_PROBE_OUTPUT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start.

    Attributes:
        argv: the command line, mount paths rewritten.
        env: the whole environment.
        root: the container's root folder; ``cwd`` is inside it.
        memory_limit: bytes, or None.
        cpu_limit: cores, or None.
        stdin, stdin_once, tty: as the container's spec says.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    root: Path
    cwd: Path
    memory_limit: int | None
    cpu_limit: float | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


class StartError(Exception):
    """The program of a container cannot be executed."""


class Instance:
    """A started container.

    Attributes:
        identity: 64 hexadecimal digits, as in a container ID.
        oom_killed: its memory limit was exceeded.
        quota: what holds it to its CPU limit, if it could exceed it.
    """

    def __init__(
        self, plan: Plan, log: ContainerLog, launcher: Launcher, monitor: MemoryMonitor, cpu: CpuMonitor
    ) -> None:
        self.identity = secrets.token_hex(32)
        self.plan = plan
        self.log = log
        self.oom_killed = False
        self._launcher = launcher
        self._monitor = monitor
        self._cpu = cpu
        self.quota: Quota | None = None
        self._charge: Charge | None = None
        self._console = Console(log, stdin=plan.stdin, stdin_once=plan.stdin_once, tty=plan.tty)
        self._commands: set[Running] = set()
        self._running: Running | None = None

    @property
    def container_id(self) -> str:
        return f"containerd://{self.identity}"

    @property
    def has_exited(self) -> bool:
        return self._running is None or self._running.exited.done()

    @property
    def roots(self) -> set[int]:
        """The processes whose trees belong to the container: its own, and commands run in it."""
        main = {self._running.pid} if self._running is not None else set()
        return main | {command.pid for command in self._commands}

    async def start(self) -> None:
        """Start the process. Raises StartError."""
        plan, identity = self.plan, self.identity
        try:
            program = find_program(plan.argv, plan.env)
            streams = self._console.streams()
            self._running = self._launcher.spawn(
                plan.argv, env=plan.env, cwd=plan.cwd, identity=identity, program=program, **streams
            )
        except StartError:
            self._console.abandon()
            raise
        except OSError as error:
            self._console.abandon()
            raise StartError(_cannot_execute(plan.argv[0], error.strerror or str(error))) from None
        await self._console.connect(self._running.popen)
        if self.plan.memory_limit is not None:
            self._charge = Charge(self.plan.memory_limit, self._over_limit, {self._running.pid})
            self._monitor.add(self._charge)
        if self.plan.cpu_limit is not None and can_exceed(self.plan.cpu_limit):
            self.quota = Quota(self.plan.cpu_limit, {self._running.pid})
            self._cpu.add(self.quota)

    async def wait(self) -> int:
        """The exit code, once the process has ended and its output is written."""
        assert self._running is not None
        code = await asyncio.shield(self._running.exited)
        if self._charge is not None:
            self._monitor.remove(self._charge)
            self._charge = None
        if self.quota is not None:
            self._cpu.remove(self.quota)
        for command in list(self._commands):
            command.kill_tree()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOG_DRAIN_SECONDS):
                await self._console.drained()
        self._console.close()
        self.log.close()
        return code

    async def gone(self) -> None:
        """Wait until the process has ended."""
        if self._running is not None:
            await asyncio.shield(self._running.exited)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL to the whole tree after the grace."""
        if self._running is None:
            return
        self._running.terminate()
        await asyncio.wait([self._running.exited], timeout=grace_seconds)
        self.kill()
        await self.gone()

    def kill(self) -> None:
        """SIGKILL the whole tree, if it still runs."""
        if self._running is not None and not self._running.exited.done():
            self._running.kill_tree()

    def attach(self, *, stdin: bool) -> AttachSession:
        """Follow what the process prints from now on, and feed it. It must run."""
        return AttachSession(self._console, stdin=stdin)

    def spawn_command(self, argv: Sequence[str], **streams: int | bool) -> Running:
        """Start a command beside the container, in its environment. Raises ProgramMissing."""
        try:
            program = find_program(argv, self.plan.env)
            running = self._launcher.spawn(
                argv,
                program=program,
                env=self.plan.env,
                cwd=self.plan.cwd,
                identity=self.identity,
                is_main=False,
                **streams,  # type: ignore[arg-type]  # the streams of subprocess.Popen, as the caller names them
            )
        except StartError as missing:
            raise ProgramMissing(_exec_failure(str(missing))) from None
        except OSError as error:
            raise ProgramMissing(_exec_failure(_cannot_execute(argv[0], str(error.strerror)))) from None
        self._track(running)
        return running

    async def run_command(self, argv: list[str], timeout_seconds: float) -> tuple[int, str]:
        """Run a command to its end: (exit code, output). Raises ProgramMissing and TimeoutError."""
        running = self.spawn_command(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert running.popen.stdout is not None
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), running.popen.stdout
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                output = bytearray()
                while chunk := await reader.read(_LONGEST_PROBE_OUTPUT):
                    output += chunk[: _LONGEST_PROBE_OUTPUT - len(output)]
                code = await asyncio.shield(running.exited)
        finally:
            running.kill_tree()
            transport.close()
        return code, output.decode(errors="replace")

    def _track(self, running: Running) -> None:
        self._commands.add(running)
        if self._charge is not None:
            self._charge.roots.add(running.pid)
        if self.quota is not None:
            self.quota.roots.add(running.pid)
        running.exited.add_done_callback(lambda _: self._forget(running))

    def _forget(self, running: Running) -> None:
        self._commands.discard(running)
        if self._charge is not None:
            self._charge.roots.discard(running.pid)
        if self.quota is not None:
            self.quota.roots.discard(running.pid)

    def _over_limit(self) -> None:
        self.oom_killed = True


def find_program(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The file to execute. Raises StartError with the runtime's text."""
    if not argv:
        raise StartError("no command specified")
    program = argv[0]
    found = shutil.which(program, path=env.get("PATH", ""))
    if found:
        return found
    if "/" not in program:
        raise StartError(f'exec: "{program}": executable file not found in $PATH')
    reason = "permission denied" if Path(program).exists() else "no such file or directory"
    raise StartError(_cannot_execute(program, reason))


def _cannot_execute(program: str, reason: str) -> str:
    reason = reason.lower()
    action = "stat " if reason.startswith("no such file") else ""
    return f'exec: "{program}": {action + program + ": " if action else ""}{reason}'


def _exec_failure(text: str) -> str:
    return (
        f'failed to start exec "{secrets.token_hex(32)}": OCI runtime exec failed: exec failed: '
        f"unable to start container process: {text}: unknown"
    )
