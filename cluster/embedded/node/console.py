"""Standard streams of a container's main process: its log, and the clients that are attached to it."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from typing import IO, TypedDict

from cluster.embedded.apiserver.pod_streams import STDERR, STDOUT
from cluster.embedded.node.logs import ContainerLog, LineWriter
from cluster.embedded.node.output import Feed, Output

_STREAMS = {"stdout": STDOUT, "stderr": STDERR}


class SpawnStreams(TypedDict, total=False):
    """What ``Launcher.spawn`` is given."""

    stdin: int | IO[bytes]
    stdout: int | IO[bytes]
    stderr: int | IO[bytes]
    own_terminal: bool


class Console:
    """Made before the process; ``streams`` are passed to it, then ``connect``; ``abandon`` when it cannot start.

    Args:
        stdin: whether the process reads from clients, as the container's ``stdin`` says; else it reads nothing.
        stdin_once: whether the input ends with the first client that leaves.
        tty: whether the streams are a terminal.
    """

    def __init__(self, log: ContainerLog, *, stdin: bool, stdin_once: bool, tty: bool) -> None:
        self._log = log
        self._stdin, self._stdin_once = stdin, stdin_once
        self._terminal = pty.openpty() if tty else None
        self._feed: Feed | None = None
        self._writers: list[LineWriter] = []
        self._attached: set[Output] = set()

    def streams(self) -> SpawnStreams:
        """The streams of the process."""
        if self._terminal:
            slave = self._terminal[1]
            return {"stdin": slave, "stdout": slave, "stderr": slave, "own_terminal": True}
        given = subprocess.PIPE if self._stdin else subprocess.DEVNULL
        return {"stdin": given, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

    async def connect(self, popen: subprocess.Popen[bytes]) -> None:
        """Read what the process prints, and be ready to feed it."""
        if self._terminal:
            master, slave = self._terminal
            self._terminal = None
            os.close(slave)
            await self._read("stdout", os.fdopen(os.dup(master), "rb", buffering=0))
            self._feed = Feed(os.fdopen(master, "wb", buffering=0))
            return
        assert popen.stdout is not None
        assert popen.stderr is not None
        await self._read("stdout", popen.stdout)
        await self._read("stderr", popen.stderr)
        if popen.stdin is not None:
            self._feed = Feed(popen.stdin)

    def abandon(self) -> None:
        """The process did not start."""
        for descriptor in self._terminal or ():
            os.close(descriptor)
        self._terminal = None

    async def drained(self) -> None:
        """Wait until all that was printed is in the log."""
        for writer in self._writers:
            await writer.ended

    def close(self) -> None:
        """The process has ended: so do the attachments."""
        if self._feed:
            self._feed.close()
        for output in self._attached:
            output.end()

    def attach(self) -> Output:
        """A further reader of what is printed from now on."""
        output = Output()
        self._attached.add(output)
        return output

    def detach(self, output: Output) -> None:
        """That reader has left."""
        self._attached.discard(output)
        output.end()

    async def write_stdin(self, data: bytes) -> None:
        """Feed the process; dropped when it takes no input."""
        if self._feed and self._stdin:
            await self._feed.write(data)

    def close_stdin(self) -> None:
        """A client has no more input: the process's end of input, if one client is all it gets."""
        if self._feed and self._stdin_once:
            self._feed.close()

    def resize(self, columns: int, rows: int) -> None:
        if self._feed:
            self._feed.resize(columns, rows)

    async def _read(self, stream: str, pipe: IO[bytes]) -> None:
        tee = partial(_Tee, LineWriter(self._log, stream), partial(self._show, _STREAMS[stream]))
        _, protocol = await asyncio.get_running_loop().connect_read_pipe(tee, pipe)
        self._writers.append(protocol.writer)

    def _show(self, number: int, data: bytes) -> None:
        """Pass on what was printed. A client that does not read is left behind, not waited for."""
        for output in list(self._attached):
            output.put(number, data)
            if output.is_full:
                self.detach(output)


class _Tee(asyncio.Protocol):
    def __init__(self, writer: LineWriter, show: partial[None]) -> None:
        self.writer = writer
        self._show = show

    def data_received(self, data: bytes) -> None:
        self.writer.data_received(data)
        self._show(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.writer.connection_lost(error)


class AttachSession:
    """A client that is attached to a container; an ``ExecSession`` whose end leaves the container alone."""

    def __init__(self, console: Console, *, stdin: bool) -> None:
        self._console = console
        self._output = console.attach()
        self._stdin = stdin

    async def write_stdin(self, data: bytes) -> None:
        if self._stdin:
            await self._console.write_stdin(data)

    async def close_stdin(self) -> None:
        if self._stdin:
            self._console.close_stdin()

    async def resize(self, columns: int, rows: int) -> None:
        self._console.resize(columns, rows)

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return self._output.read()

    async def wait(self) -> int:
        """0: how the container ended is in the pod's status, attaching succeeded."""
        return 0

    async def kill(self) -> None:
        self._console.detach(self._output)
        await self.close_stdin()
