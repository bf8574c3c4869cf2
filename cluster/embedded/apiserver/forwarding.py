"""One forwarded connection: bytes between a client's channel and a port of a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cluster.embedded.apiserver.pod_streams import PodConnection, PortUnreachable
from cluster.embedded.client import ApiError

Connect = Callable[[int], Awaitable[PodConnection]]
"""Connects to a port of the pod. Raises PortUnreachable and ApiError."""
Send = Callable[[bytes], Awaitable[None]]

_CHUNK_BYTES = 32 * 1024
_CHUNKS_WAITING = 16


class Forwarding:
    """What a client sends waits in a short queue, so a pod that does not read slows its client down."""

    def __init__(self, port: int, connect: Connect) -> None:
        self.port = port
        self._connect = connect
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_WAITING)
        self._is_over = False

    async def put(self, data: bytes | None) -> None:
        """Bytes from the client; None says that no more come. Dropped when the connection is over."""
        if not self._is_over:
            await self._incoming.put(data)

    async def run(self, send: Send) -> str:
        """Carry bytes until the pod closes the connection. What went wrong, in a kubelet's words; empty if nothing."""
        try:
            reader, writer = await self._connect(self.port)
        except (PortUnreachable, ApiError) as error:
            return str(error)
        else:
            upward = asyncio.create_task(self._upward(writer))
            try:
                with suppress(ConnectionError):
                    while data := await reader.read(_CHUNK_BYTES):
                        await send(data)
            finally:
                upward.cancel()
                writer.close()
            return ""
        finally:
            self._end()

    async def _upward(self, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while (data := await self._incoming.get()) is not None:
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    def _end(self) -> None:
        """Let go whoever waits to put something into the queue."""
        self._is_over = True
        while not self._incoming.empty():
            self._incoming.get_nowait()
