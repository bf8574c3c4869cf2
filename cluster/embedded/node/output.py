"""Bytes between processes and clients, with a bound on what waits in between."""

from __future__ import annotations

import asyncio
import os
import termios
from collections import deque
from collections.abc import AsyncIterator
from typing import IO

MOST_WAITING_BYTES = 256 * 1024


class Output:
    """What was printed and is not read yet. While it is full, its sources are not read."""

    def __init__(self) -> None:
        self.sources: list[asyncio.ReadTransport] = []
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._is_paused = False
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._waiting_bytes >= MOST_WAITING_BYTES

    def put(self, number: int, data: bytes) -> None:
        """Add a chunk of a stream (1 stdout, 2 stderr)."""
        self._chunks.append((number, data))
        self._waiting_bytes += len(data)
        if self.is_full and not self._is_paused:
            self._pause(True)
        self._changed.set()

    def end(self) -> None:
        """No more comes."""
        self._ended = True
        self._changed.set()

    async def read(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks until the end."""
        while True:
            while self._chunks:
                number, data = self._chunks.popleft()
                self._waiting_bytes -= len(data)
                yield number, data
                if self._is_paused and not self.is_full:
                    self._pause(False)
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()

    def _pause(self, paused: bool) -> None:
        self._is_paused = paused
        for source in self.sources:
            if not source.is_closing():
                source.pause_reading() if paused else source.resume_reading()


class Feed:
    """The input of a process, a pipe or a terminal. Whoever writes waits while the process does not read.

    No transport of the event loop: that of uvloop reads from what it writes to, which takes a terminal's output away.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        os.set_blocking(pipe.fileno(), False)

    async def write(self, data: bytes) -> None:
        """Feed the process; dropped when it takes no input any more."""
        async with self._writing:
            rest = memoryview(data)
            while rest and not self._pipe.closed:
                try:
                    rest = rest[os.write(self._pipe.fileno(), rest) :]
                except BlockingIOError:
                    await self._until_writable()
                except OSError:
                    self.close()

    def close(self) -> None:
        """Tell the process that no more comes."""
        if not self._pipe.closed:
            asyncio.get_running_loop().remove_writer(self._pipe.fileno())
            self._pipe.close()
            self._changed.set()

    def resize(self, columns: int, rows: int) -> None:
        """Tell a terminal its size; nothing for a pipe."""
        if not self._pipe.closed and os.isatty(self._pipe.fileno()):
            termios.tcsetwinsize(self._pipe.fileno(), (rows, columns))

    async def _until_writable(self) -> None:
        loop, descriptor = asyncio.get_running_loop(), self._pipe.fileno()
        self._changed.clear()
        loop.add_writer(descriptor, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if not self._pipe.closed:
                loop.remove_writer(descriptor)
