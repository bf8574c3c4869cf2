"""An L4 proxy: one listener of a Service, spliced to one of its ready endpoints for each connection."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

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
        self._read_all = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

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
        """Pass the end on. The other direction lives on until it ends too."""
        self._read_all = True
        if self.peer is not None and self.peer._read_all:
            return False  # both ends have been read: this side closes, and takes the other with it
        if self.peer is None or self.peer.transport is None:
            self._early_eof = True
        elif not self.peer.transport.is_closing():
            self.peer.transport.write_eof()
        return True

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
        self._socket: socket.socket | None = None
        self._accepting: set[asyncio.Task[Any]] = set()
        self._turn = 0

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Use these endpoints for new connections; those that exist live on. Raises OSError."""
        self._endpoints = list(endpoints)
        loop = asyncio.get_running_loop()
        if self._endpoints and self._socket is None:
            self._socket = _listening_socket(self._address, self._port)
            loop.add_reader(self._socket.fileno(), self._accept)
        elif not self._endpoints and self._socket is not None:
            loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _accept(self) -> None:
        """Take every connection that waits. Not asyncio's own server: closing that one forgets connections that it has
        accepted a moment ago, and their clients hang."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            task = loop.create_task(loop.connect_accepted_socket(lambda: _Front(self), connection))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    def order(self) -> list[Endpoint]:
        """The endpoints in the order to try for the next connection (round robin)."""
        if not self._endpoints:
            return []
        self._turn = (self._turn + 1) % len(self._endpoints)
        return [*self._endpoints[self._turn :], *self._endpoints[: self._turn]]

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self.set_endpoints([])
        for front in list(self.connections):
            if front.transport is not None:
                front.transport.abort()


def _listening_socket(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((address, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
