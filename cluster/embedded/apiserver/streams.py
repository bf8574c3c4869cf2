"""Long answers (watches, followed logs, commands): each has a deadline, and all end when the server stops.

What a client does not read waits in the connection's buffer; when that stays full, the client is hung up on, as a real
server drops a watcher that is too slow. It can come back and read on from the resourceVersion that it has.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

SLOW_CLIENT_SECONDS = 5.0
_UNREAD_BYTES = 128 * 1024
_SENT_AT_ONCE_BYTES = 256 * 1024


class ClientTooSlow(ConnectionError):
    """A client did not read, and was hung up on."""


class OpenStreams:
    """The streams that are being answered now.

    Args:
        slow_client_seconds: how long a full buffer may stay full.
    """

    def __init__(self, slow_client_seconds: float = SLOW_CLIENT_SECONDS) -> None:
        self._slow_client_seconds = slow_client_seconds
        self._deadlines: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Leave the block quietly after so many seconds, or when the server stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as deadline:
                self._deadlines.add(deadline)
                try:
                    yield
                finally:
                    self._deadlines.discard(deadline)

    def __len__(self) -> int:
        return len(self._deadlines)

    def writer(self, request: web.BaseRequest, response: web.StreamResponse) -> Callable[[bytes], Awaitable[None]]:
        """Writes to the client. Raises ConnectionError when it is gone or too slow.

        What a client leaves unread waits here and in the kernel, which both would keep megabytes of it.
        """
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=_UNREAD_BYTES)
            with suppress(OSError):
                link = request.transport.get_extra_info("socket")
                link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)

        async def write(data: bytes) -> None:
            await in_time(request, response.write(data), self._slow_client_seconds)

        return write

    async def finish(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """End an answer. Raises ConnectionError."""
        await in_time(request, response.write_eof(), self._slow_client_seconds)

    def end_all(self) -> None:
        """End every open stream, as if its time were up."""
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            deadline.reschedule(now)


async def in_time(request: web.BaseRequest, sending: Awaitable[None], seconds: float) -> None:
    """Send something to a client that reads; hang up on one that does not. Raises ClientTooSlow."""
    try:
        async with asyncio.timeout(seconds) as deadline:
            await sending
    except TimeoutError:
        if not deadline.expired():
            raise
        if request.transport is not None:
            request.transport.abort()
        raise ClientTooSlow from None


async def send(request: web.BaseRequest, response: web.Response, body: bytes, seconds: float) -> web.StreamResponse:
    """The response, or, when it is long, one that was sent in pieces to a client that reads. Raises ClientTooSlow."""
    if len(body) <= _SENT_AT_ONCE_BYTES:
        return response
    pieces = web.StreamResponse(status=response.status, headers=response.headers)
    pieces.content_length = len(body)
    await pieces.prepare(request)
    await in_time(request, _write_pieces(pieces, body), seconds)
    return pieces


async def _write_pieces(response: web.StreamResponse, body: bytes) -> None:
    rest = memoryview(body)
    while rest:
        await response.write(rest[:_SENT_AT_ONCE_BYTES])
        rest = rest[_SENT_AT_ONCE_BYTES:]
    await response.write_eof()
