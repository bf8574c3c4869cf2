"""One client's connection, spliced to an endpoint: where faults of the network are felt."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from cluster.embedded.network.addresses import is_pod_address
from cluster.embedded.network.flows import CLEAR, Endpoint, LinkFault

_MAX_WAITING_BYTES = 1 << 20
_IP_BIND_ADDRESS_NO_PORT = 24
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Route(Protocol):
    """Where connections of a listener go."""

    def endpoints(self) -> Sequence[Endpoint]:
        """Where to connect to, in the order to try."""
        ...

    def fault(self, source: str, endpoint: Endpoint) -> LinkFault:
        """What is wrong with the way from an address to an endpoint at this moment."""
        ...


async def dial(source: str, endpoint: Endpoint) -> socket.socket:
    """Connect to an endpoint, in the name of the client if that is a pod. Raises OSError."""
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        link.setblocking(False)
        if is_pod_address(source):
            link.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            link.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(link, endpoint)
    except BaseException:
        link.close()
        raise
    return link


class _Side(asyncio.Protocol):
    """One end of a connection. It is read from only while nobody objects."""

    def __init__(self, link: socket.socket) -> None:
        self.transport: asyncio.Transport | None = None
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.on_end: Callable[[], None] = lambda: None
        self.on_lost: Callable[[Exception | None], None] = lambda error: None
        self.on_full: Callable[[bool], None] = lambda full: None
        self.ended = False
        self._link = link
        self._objections: set[str] = set()
        self._unwanted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._unwanted:
            self.reset()

    def data_received(self, data: bytes) -> None:
        self.on_data(data)

    def eof_received(self) -> bool:
        self.ended = True
        self.on_end()
        return True  # the other direction lives on until it ends too

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_lost(exc)

    def pause_writing(self) -> None:
        self.on_full(True)

    def resume_writing(self) -> None:
        self.on_full(False)

    def read(self, reason: str, wanted: bool) -> None:
        """Raise an objection to reading, or withdraw it."""
        before = bool(self._objections)
        (self._objections.discard if wanted else self._objections.add)(reason)
        after = bool(self._objections)
        if before == after or self.transport is None or self.transport.is_closing():
            return
        if after:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def write_eof(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):  # the peer is gone: connection_lost follows
                self.transport.write_eof()

    def close(self) -> None:
        """Close once everything is written."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close with a RST."""
        if self.transport is None:
            self._unwanted = True
        elif not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self._link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()


class Connection:
    """Splices a client to the first endpoint of a route that answers, and lets the way's faults act on it.

    Args:
        client: the accepted socket.
        source: the client's address.
        back: the connection to the route's endpoint, where it exists already.
        on_close: called once, when the connection is over.
    """

    def __init__(
        self,
        client: socket.socket,
        source: str,
        route: Route,
        on_close: Callable[[Connection], None],
        *,
        back: socket.socket | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._route = route
        self._on_close = on_close
        self._dialed = back
        self._front = _Side(client)
        self._back: _Side | None = None
        self._endpoint: Endpoint | None = None
        self._fault = CLEAR
        self._open = True
        self._passable = asyncio.Event()
        self._waiting: deque[tuple[float, bytes | None]] = deque()  # (due, data or end), from the client
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._front.on_data = self._from_client
        self._front.on_end = lambda: self._enqueue(None)
        self._front.on_lost = self._lost
        self._task = asyncio.get_running_loop().create_task(self._run())

    def update(self) -> None:
        """Look at the way again: something about the network has changed."""
        if self._open and self._endpoint is not None:
            self._suffer(self._route.fault(self._source, self._endpoint))

    def reset(self) -> None:
        """End the connection with a RST to both sides."""
        if not self._open:
            return
        self._front.reset()
        if self._back is not None:
            self._back.reset()
        self._finish()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._front, self._client)
            link = await self._way()
            if link is None:
                self.reset()
                return
            back = _Side(link)
            await loop.create_connection(lambda: back, sock=link)
        except OSError:
            self.reset()
            return
        if self._open:
            self._join(back)
        else:
            back.reset()

    async def _way(self) -> socket.socket | None:
        """A connection to the first endpoint that answers, once the way to it is free."""
        for endpoint in self._route.endpoints():
            self._endpoint = endpoint
            self.update()
            await self._passable.wait()
            if not self._open:
                return None
            if delay := self._delay():
                await asyncio.sleep(delay)
                await self._passable.wait()
                if not self._open:
                    return None
            if self._dialed is not None:
                link, self._dialed = self._dialed, None
                return link
            try:
                return await dial(self._source, endpoint)
            except OSError:
                continue
        return None

    def _join(self, back: _Side) -> None:
        front, self._back = self._front, back
        back.on_data = front.write
        back.on_end = self._server_ended
        back.on_lost = self._lost
        back.on_full = lambda full: front.read("server is full", not full)
        front.on_full = lambda full: back.read("client is full", not full)
        self.update()
        self._deliver()

    # -- faults

    def _suffer(self, fault: LinkFault) -> None:
        rises = fault.reset_ratio > self._fault.reset_ratio
        self._fault = fault
        if rises and random.random() < fault.reset_ratio:  # noqa: S311  (a fault, not a secret)
            self.reset()
            return
        if self._back is not None:
            self._front.read("held", not fault.black_hole)
            self._back.read("held", not fault.black_hole)
        if fault.black_hole:
            self._passable.clear()
        else:
            self._passable.set()
            self._deliver()

    def _delay(self) -> float:
        jitter = random.uniform(-1, 1) * self._fault.jitter_seconds  # noqa: S311
        return max(0.0, self._fault.delay_seconds + jitter)

    # -- from the client, in order, each when it is due

    def _from_client(self, data: bytes) -> None:
        self._enqueue(data)

    def _enqueue(self, data: bytes | None) -> None:
        # What is sent before there is a server has waited for the connection's own delay already.
        due = asyncio.get_running_loop().time() + (self._delay() if self._back is not None else 0.0)
        if self._waiting:
            due = max(due, self._waiting[-1][0])
        self._waiting.append((due, data))
        self._waiting_bytes += len(data or b"")
        self._front.read("much is waiting", self._waiting_bytes <= _MAX_WAITING_BYTES)
        self._deliver()

    def _deliver(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._open and self._waiting and self._back is not None and self._passable.is_set():
            due, data = self._waiting[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self._deliver)
                break
            self._waiting.popleft()
            if data is None:
                self._client_ended(self._back)
            else:
                self._waiting_bytes -= len(data)
                self._back.write(data)
        self._front.read("much is waiting", self._waiting_bytes <= _MAX_WAITING_BYTES)

    # -- the end

    def _client_ended(self, back: _Side) -> None:
        back.write_eof()
        if back.ended:
            self._close()

    def _server_ended(self) -> None:
        self._front.write_eof()
        if self._front.ended and not self._waiting:
            self._close()

    def _lost(self, error: Exception | None) -> None:
        if error is not None:
            self.reset()
        else:
            self._close()

    def _close(self) -> None:
        if not self._open:
            return
        self._front.close()
        if self._back is not None:
            self._back.close()
        self._finish()

    def _finish(self) -> None:
        self._open = False
        self._passable.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._dialed is not None:
            self._dialed.close()
            self._dialed = None
        self._on_close(self)
