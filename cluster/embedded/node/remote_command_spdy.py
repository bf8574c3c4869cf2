"""Commands over SPDY/3.1, as an API server asks a kubelet for them (remote command protocol v4).

The client opens a stream for each of stdin, stdout, stderr, the terminal's size and the final Status; the header
``streamtype`` says which. Source: the client's half in k8s.io/client-go/tools/remotecommand, as documented there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import orjson

from cluster.embedded.apiserver.exec import exit_status, internal_error, resize_terminal
from cluster.embedded.apiserver.forwarding import Send
from cluster.embedded.apiserver.pod_streams import STDERR, STDOUT, ExecSession
from cluster.embedded.apiserver.spdy import (
    PROTOCOL_ERROR,
    Data,
    Decoder,
    Encoder,
    Frame,
    Ping,
    Reset,
    SpdyError,
    SynReply,
    SynStream,
)
from cluster.embedded.client import ApiError
from cluster.embedded.resources import Object

_PIECE_BYTES = 32 * 1024
OPEN_SECONDS = 30.0
"""How long a client may take to open its streams (a kubelet's --streaming-connection default for creation)."""


class SpdyCommand:
    """One client's connection.

    Args:
        send: sends bytes to the client; waits while the client does not read.
        start: starts the command. Raises ApiError.
        expected: the types of the streams that the client is going to open.
    """

    def __init__(self, send: Send, start: Callable[[], Awaitable[ExecSession]], expected: frozenset[str]) -> None:
        self._send_bytes, self._start, self._expected = send, start, expected
        self._decoder, self._encoder = Decoder(), Encoder()
        self._streams: dict[str, int] = {}
        self._opened = asyncio.Event()
        self._input: asyncio.Queue[tuple[str, bytes, bool]] = asyncio.Queue(64)

    async def run(self, chunks: AsyncIterator[bytes]) -> None:
        """Serve until the command has ended, or the client left: then the command is killed."""
        reading = asyncio.create_task(self._read(chunks))
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({reading, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, working):
                task.cancel()
            await asyncio.gather(reading, working, return_exceptions=True)

    async def _read(self, chunks: AsyncIterator[bytes]) -> None:
        with suppress(SpdyError, ConnectionError):
            async for chunk in chunks:
                for frame in self._decoder.feed(chunk):
                    await self._handle(frame)

    async def _handle(self, frame: Frame) -> None:
        match frame:
            case SynStream():
                await self._open(frame)
            case Data(stream, payload, fin):
                kind = next((kind for kind, number in self._streams.items() if number == stream), "")
                await self._input.put((kind, payload, fin))
            case Ping():
                await self._send(frame)

    async def _open(self, frame: SynStream) -> None:
        kind = frame.headers.get("streamtype", "")
        if kind not in self._expected or kind in self._streams:
            await self._send(Reset(frame.stream, PROTOCOL_ERROR))
            return
        self._streams[kind] = frame.stream
        await self._send(SynReply(frame.stream))
        if self._expected == self._streams.keys():
            self._opened.set()

    async def _work(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await self._opened.wait()
            await self._finish(await self._status())

    async def _status(self) -> Object:
        """Run the command and pass its streams on; the final Status."""
        try:
            session = await self._start()
        except ApiError as error:
            return internal_error(error)
        feeding = asyncio.create_task(self._feed(session))
        try:
            async for channel, data in session.output():
                await self._show({STDOUT: "stdout", STDERR: "stderr"}[channel], data)
            return exit_status(await session.wait())
        except ApiError as error:
            return internal_error(error)
        except BaseException:
            await session.kill()
            raise
        finally:
            feeding.cancel()

    async def _feed(self, session: ExecSession) -> None:
        while True:
            kind, payload, fin = await self._input.get()
            with suppress(ConnectionError):
                if kind == "stdin" and payload:
                    await session.write_stdin(payload)
                if kind == "stdin" and fin:
                    await session.close_stdin()
                if kind == "resize" and payload:
                    await resize_terminal(session, payload)

    async def _show(self, kind: str, data: bytes) -> None:
        if kind in self._streams:
            for piece in _pieces(data):
                await self._send(Data(self._streams[kind], piece))

    async def _finish(self, status: Object) -> None:
        await self._send(Data(self._streams["error"], orjson.dumps(status), fin=True))
        for kind, stream in self._streams.items():
            if kind != "error":
                await self._send(Data(stream, fin=True))

    async def _send(self, frame: Frame) -> None:
        await self._send_bytes(self._encoder.encode(frame))


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]
