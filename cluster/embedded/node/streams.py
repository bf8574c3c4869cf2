"""Logs and exec of containers, with the errors that a kubelet gives."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.pod_streams import STDERR, STDOUT
from cluster.embedded.client import ApiError
from cluster.embedded.node import podspec
from cluster.embedded.node.console import AttachSession
from cluster.embedded.node.container import ContainerRunner
from cluster.embedded.node.logs import ContainerLog
from cluster.embedded.node.output import Feed, Output
from cluster.embedded.node.probes import ProgramMissing
from cluster.embedded.node.processes import Running
from cluster.embedded.resources import Object

_CHUNK = 64 * 1024
_WAITING_TEXTS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def choose_container(pod: Object, runners: Mapping[str, ContainerRunner], name: str) -> ContainerRunner:
    """The named container, or the only one. Raises ApiError 400."""
    if not name:
        names = [spec["name"] for spec in podspec.containers(pod)]
        if len(names) > 1:
            choice = f"choose one of: [{' '.join(names)}]"
            raise _bad_request(f"a container name must be specified for pod {podspec.name(pod)}, {choice}")
        name = names[0]
    if name not in runners:
        raise _bad_request(f"container {name} is not valid for pod {podspec.name(pod)}")
    return runners[name]


def find_log(runner: ContainerRunner, pod_name: str, *, previous: bool) -> ContainerLog:
    """The log of the current run (the last one while the container waits), or the one before. Raises ApiError."""
    view = runner.view
    if previous:
        if not view.last_state.get("terminated") or not runner.logs:
            raise _bad_request(f'previous terminated container "{runner.name}" in pod "{pod_name}" not found')
        return runner.logs[-1] if "waiting" in view.state else runner.logs[0]
    if not runner.logs:
        reason = (view.state.get("waiting") or {}).get("reason", "ContainerCreating")
        text = _WAITING_TEXTS.get(reason, reason)
        raise _bad_request(f'container "{runner.name}" in pod "{pod_name}" is waiting to start: {text}')
    return runner.logs[-1]


def attach(runner: ContainerRunner, *, stdin: bool) -> AttachSession:
    """Follow a running container. Raises ApiError."""
    if runner.instance is None or runner.instance.has_exited:
        raise _not_running(runner)
    return runner.instance.attach(stdin=stdin)


async def start_command(runner: ContainerRunner, command: list[str], *, stdin: bool, tty: bool) -> CommandSession:
    """Start a command in a running container. Raises ApiError."""
    instance = runner.instance
    if instance is None or instance.has_exited:
        raise _not_running(runner)
    argv = _told_names(runner.mapped(command), instance.plan.root)
    try:
        if tty:
            master, slave = pty.openpty()
            try:
                running = instance.spawn_command(argv, stdin=slave, stdout=slave, stderr=slave, own_terminal=True)
            except ProgramMissing:
                os.close(master)
                raise
            finally:
                os.close(slave)
            session = CommandSession(running)
            await session.attach_terminal(master)
        else:
            given = subprocess.PIPE if stdin else subprocess.DEVNULL
            running = instance.spawn_command(argv, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            session = CommandSession(running)
            await session.attach_pipes()
    except ProgramMissing as missing:
        raise _internal(f"error executing command in container: failed to exec in container: {missing}") from None
    return session


class CommandSession:
    """A command that runs beside a container; an ``ExecSession``. What nobody reads holds the command up."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._output = Output()
        self._open_streams = 0
        self._feed: Feed | None = None

    async def attach_pipes(self) -> None:
        """Follow stdout and stderr of the command, and feed its stdin."""
        popen = self._running.popen
        self._open_streams = 2
        for number, pipe in ((STDOUT, popen.stdout), (STDERR, popen.stderr)):
            assert pipe is not None
            await self._follow(number, pipe)
        if popen.stdin is not None:
            self._feed = Feed(popen.stdin)

    async def attach_terminal(self, master: int) -> None:
        """Follow and feed the command's terminal."""
        self._open_streams = 1
        await self._follow(STDOUT, os.fdopen(os.dup(master), "rb", buffering=0))
        self._feed = Feed(os.fdopen(master, "wb", buffering=0))

    async def write_stdin(self, data: bytes) -> None:
        """Feed the command; dropped when it takes no input any more."""
        if self._feed is not None:
            await self._feed.write(data)

    async def close_stdin(self) -> None:
        """Tell the command that no more input comes."""
        if self._feed is not None:
            self._feed.close()

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the command's terminal its size."""
        if self._feed is not None:
            self._feed.resize(columns, rows)

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of (1 stdout | 2 stderr, data) until both are closed."""
        return self._output.read()

    async def wait(self) -> int:
        """The exit code, once the command has ended."""
        code = await asyncio.shield(self._running.exited)
        await self.close_stdin()
        return code

    async def kill(self) -> None:
        """End the command and what it started."""
        self._running.kill_tree()
        await asyncio.shield(self._running.exited)
        await self.close_stdin()
        for source in self._output.sources:
            source.close()

    def received(self, number: int, data: bytes) -> None:
        self._output.put(number, data)

    def stream_closed(self) -> None:
        self._open_streams -= 1
        if self._open_streams == 0:
            self._output.end()

    async def _follow(self, number: int, pipe: IO[bytes]) -> None:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(partial(_Stream, self, number), pipe)
        self._output.sources.append(transport)


class _Stream(asyncio.Protocol):
    def __init__(self, session: CommandSession, number: int) -> None:
        self._session = session
        self._number = number

    def data_received(self, data: bytes) -> None:
        self._session.received(self._number, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._session.stream_closed()


def _told_names(argv: list[str], root: Path) -> list[str]:
    """A ``tar`` as in ``kubectl cp``, told to name files as the container does: without the container's root folder.

    A mounted folder is a symbolic link here; ``/.`` makes ``tar`` see the folder.
    """
    if Path(argv[0]).name != "tar" or "--" in argv:
        return argv
    argv = [f"{word}/." if word.startswith(f"{root}/") and Path(word).is_symlink() else word for word in argv]
    below = re.sub(r"([][.*^$\\,])", r"\\\1", str(root).lstrip("/"))
    return [*argv, rf"--transform=s,^/\?{below}/,,S"]


def _not_running(runner: ContainerRunner) -> ApiError:
    text = f'unable to upgrade connection: container not found ("{runner.name}")'
    return status.failure(404, "NotFound", text)


def _bad_request(message: str) -> ApiError:
    return status.failure(400, "BadRequest", message)


def _internal(message: str) -> ApiError:
    return status.failure(500, "InternalError", f"Internal error occurred: {message}")
