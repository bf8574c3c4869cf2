"""An L4 proxy: one listener of a Service, spliced to one of its ready endpoints for each connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Endpoint = tuple[str, int]


@dataclass(slots=True)
class LinkFault:
    """What is wrong with the way to a Service: the hook for network faults.

    Attributes:
        delay_seconds: waited before a connection is made.
        black_hole: connections are accepted and nothing comes of them.
        reset_ratio: share (0-1) of connections that are reset at once.
    """

    delay_seconds: float = 0.0
    black_hole: bool = False
    reset_ratio: float = 0.0


class _Pipe(asyncio.Protocol):
    """One side of a spliced connection: what it reads goes to its peer, with the peer's back-pressure."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: _Pipe | None = None
        self._early: list[bytes] = []
        self._early_eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def join(self, peer: _Pipe) -> None:
        """Begin to pass on what is read, and what was read before."""
        self.peer = peer
        if peer.transport is None:
            return
        for data in self._early:
            peer.transport.write(data)
        self._early.clear()
        if self._early_eof and peer.transport.can_write_eof():
            peer.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        if self.peer is None or self.peer.transport is None:
            self._early.append(data)
        else:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        if self.peer is None or self.peer.transport is None:
            self._early_eof = True
        elif not self.peer.transport.is_closing():
            self.peer.transport.write_eof()
        return True  # half-closed: the other direction lives on

    def connection_lost(self, exc: Exception | None) -> None:
        other = self.peer.transport if self.peer else None
        if other is None or other.is_closing():
            return
        if exc is not None:
            other.abort()
        else:
            other.close()

    def pause_writing(self) -> None:
        if self.peer and self.peer.transport and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer and self.peer.transport and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()


class _Front(_Pipe):
    """The client's side: connects to an endpoint as soon as the client has connected."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.connections.add(self)
        self._task = asyncio.ensure_future(self._connect())

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        super().connection_lost(exc)

    async def _connect(self) -> None:
        assert self.transport is not None
        fault = self._listener.fault()
        if random.random() < fault.reset_ratio:  # noqa: S311  (a fault, not a secret)
            self.transport.abort()
            return
        if fault.black_hole:
            return
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        back = await self._dial()
        if back is None:
            self.transport.abort()
            return
        back.join(self)
        self.join(back)

    async def _dial(self) -> _Pipe | None:
        """A connection to an endpoint; the next one is tried when one refuses."""
        loop = asyncio.get_running_loop()
        for host, port in self._listener.order():
            try:
                _, protocol = await loop.create_connection(_Pipe, host, port)
            except OSError:
                continue
            return protocol
        return None


class Listener:
    """One port of one Service. It listens only while there is a ready endpoint: without one, connections are refused.

    Args:
        address: the Service's ClusterIP.
        fault: asked for every connection.
    """

    def __init__(self, address: str, port: int, fault: Callable[[], LinkFault]) -> None:
        self.fault = fault
        self.connections: set[_Front] = set()
        self._address = address
        self._port = port
        self._endpoints: list[Endpoint] = []
        self._server: asyncio.Server | None = None
        self._turn = 0

    async def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Use these endpoints for new connections; those that exist live on."""
        self._endpoints = list(endpoints)
        if self._endpoints and self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: _Front(self), self._address, self._port, reuse_address=True, backlog=1024
            )
        elif not self._endpoints and self._server is not None:
            self._server.close()
            self._server = None

    def order(self) -> list[Endpoint]:
        """The endpoints in the order to try for the next connection (round robin)."""
        if not self._endpoints:
            return []
        self._turn = (self._turn + 1) % len(self._endpoints)
        return [*self._endpoints[self._turn :], *self._endpoints[: self._turn]]

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        await self.set_endpoints([])
        for front in list(self.connections):
            if front.transport is not None:
                front.transport.abort()
