"""Takes a connection over from HTTP for a protocol that is not WebSocket (RFC 9110, section 7.8)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from aiohttp import web

_MOST_WAITING_BYTES = 1024 * 1024


class UpgradedConnection:
    """What is left of a request after 101 Switching Protocols: bytes in both directions."""

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self._request, self._response = request, response
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_over = False
        self._wake = asyncio.Event()

    @classmethod
    async def accept(cls, request: web.BaseRequest, protocol: str, headers: Mapping[str, str]) -> UpgradedConnection:
        """Answer 101; what the client sends from now on belongs to the protocol."""
        given = {"Connection": "Upgrade", "Upgrade": protocol, **headers}
        response = web.StreamResponse(status=101, headers=given)
        connection = cls(request, response)
        await response.prepare(request)
        request.protocol.set_parser(cast(Any, connection))  # it needs no more than feed_data and feed_eof
        return connection

    @property
    def response(self) -> web.StreamResponse:
        """What a handler returns in the end."""
        return self._response

    async def send(self, data: bytes) -> None:
        """Waits while the client does not read. Raises ConnectionError."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        transport.write(data)
        await self._request.protocol._drain_helper()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Bytes until the client leaves."""
        while True:
            while self._waiting:
                chunk = self._waiting.popleft()
                self._size -= len(chunk)
                if self._size < _MOST_WAITING_BYTES and (transport := self._request.transport):
                    transport.resume_reading()
                yield chunk
            if self._is_over:
                return
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        """Hang up, once everything is sent."""
        if self._request.transport is not None:
            self._request.transport.close()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by the HTTP server with what arrives."""
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _MOST_WAITING_BYTES and (transport := self._request.transport):
            transport.pause_reading()
        self._wake.set()
        return False, b""

    def feed_eof(self) -> None:
        """Called by the HTTP server when the client has left."""
        self._is_over = True
        self._wake.set()
