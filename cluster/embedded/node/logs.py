"""Container logs on disk: written in the CRI format (``TIME stdout F text``), read as a kubelet does."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.embedded.apiserver.pod_streams import LogOptions

_LONGEST_LINE = 16 * 1024


def timestamp() -> str:
    """The time as logs show it: RFC 3339 with fractions of a second, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class ContainerLog:
    """The log of one run of a container. At ``max_bytes`` it is rotated; one older part is kept."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.closed = False
        self._max_bytes = max_bytes
        self._size = 0
        self._rotations = 0
        self._changed = asyncio.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, lines: bytes) -> None:
        """Append lines that are in CRI format already."""
        if self._size + len(lines) > self._max_bytes and self._size:
            self._rotate()
        self._size += os.write(self._fd, lines)
        self._announce()

    def close(self) -> None:
        """No more lines come."""
        if not self.closed:
            self.closed = True
            os.close(self._fd)
            self._announce()

    def remove(self) -> None:
        """Delete the files."""
        self.close()
        for path in (self.path, self._older):
            path.unlink(missing_ok=True)

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """Lines as the ``log`` subresource answers them."""
        remaining = options.limit_bytes
        async for line in self._select(options):
            if remaining is not None:
                line = line[:remaining]
                remaining -= len(line)
            if line:
                yield line
            if remaining == 0:
                return

    def last_text(self, max_bytes: int, max_lines: int) -> str:
        """The end of the log, for termination messages."""
        lines = deque((_text(line, timestamps=False) for line in self._stored()), maxlen=max_lines)
        return b"".join(lines)[-max_bytes:].decode(errors="replace")

    async def _select(self, options: LogOptions) -> AsyncIterator[bytes]:
        since = _since(options.since_seconds)
        stored: Iterator[bytes] | deque[bytes] = (line for line in self._stored() if line[: len(since)] >= since)
        if options.tail_lines is not None:
            stored = deque(stored, maxlen=options.tail_lines)
        rotations, offset = self._rotations, self._size
        for line in stored:
            yield _text(line, options.timestamps)
        if not options.follow:
            return
        async for line in self._follow(rotations, offset):
            yield _text(line, options.timestamps)

    async def _follow(self, rotations: int, offset: int) -> AsyncIterator[bytes]:
        while True:
            changed = self._changed
            if rotations != self._rotations:
                rotations, offset = self._rotations, 0
            if offset < self._size:
                chunk = _read_from(self.path, offset)
                offset += len(chunk)
                for line in chunk.splitlines(keepends=True):
                    yield line
            elif self.closed:
                return
            else:
                await changed.wait()

    def _stored(self) -> Iterator[bytes]:
        for path in (self._older, self.path):
            if path.exists():
                with path.open("rb") as file:
                    yield from file

    @property
    def _older(self) -> Path:
        return self.path.with_suffix(".1")

    def _rotate(self) -> None:
        os.close(self._fd)
        self.path.replace(self._older)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._rotations += 1

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class LineWriter(asyncio.Protocol):
    """Reads one stream of a container and writes its lines to the log."""

    def __init__(self, log: ContainerLog, stream: str) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log = log
        self._stream = stream.encode()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        head = timestamp().encode() + b" " + self._stream
        text = b"".join(b"%s F %s\n" % (head, line) for line in lines)
        while len(self._rest) > _LONGEST_LINE:
            text += b"%s P %s\n" % (head, self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]
        if text and not self._log.closed:
            self._log.write(text)

    def connection_lost(self, error: Exception | None) -> None:
        if self._rest and not self._log.closed:
            self._log.write(b"%s %s P %s\n" % (timestamp().encode(), self._stream, self._rest))
        if not self.ended.done():
            self.ended.set_result(None)


def _read_from(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        chunk = file.read(1 << 20)
    return chunk[: chunk.rfind(b"\n") + 1]


def _since(seconds: int | None) -> bytes:
    if seconds is None:
        return b""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()


def _text(line: bytes, timestamps: bool) -> bytes:
    time, _, rest = line.partition(b" ")
    _, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if tag == b"P":
        text = text.rstrip(b"\n")
    return time + b" " + text if timestamps else text
