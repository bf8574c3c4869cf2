"""Listeners of the network: they accept connections, and see to it that some clients are never answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence

from cluster.embedded.network import packet_filter
from cluster.embedded.network.connection import Connection
from cluster.embedded.network.flows import Endpoint, LinkFault

Accept = Callable[[socket.socket, tuple[str, int]], None]


class Acceptor:
    """A listening socket that hands over every connection at once.

    It is not asyncio's own server: closing that one forgets connections that it has accepted a moment ago, and their
    clients hang. Raises OSError when it cannot listen.
    """

    def __init__(self, address: str, port: int, accept: Accept) -> None:
        self._accept = accept
        self._socket = _listening_socket(address, port)
        self.port: int = self._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._take_all)

    def drop(self, addresses: Iterable[str] = (), clients: Iterable[tuple[str, int]] = ()) -> None:
        """Leave connections from these unanswered, from now on; see packet_filter."""
        packet_filter.drop(self._socket, addresses, clients)

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _take_all(self) -> None:
        while True:
            try:
                connection, client = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            packet_filter.pass_all(connection)
            self._accept(connection, client)


class Listener:
    """One port of one Service. It listens only while there is a ready endpoint: without one, connections are refused.

    Args:
        address: the Service's ClusterIP.
        fault: what is wrong with the way from an address to an endpoint.
    """

    def __init__(self, address: str, port: int, fault: Callable[[str, Endpoint], LinkFault]) -> None:
        self.fault = fault
        self._address = address
        self._port = port
        self._endpoints: list[Endpoint] = []
        self._unanswered: frozenset[str] = frozenset()
        self._acceptor: Acceptor | None = None
        self._connections: set[Connection] = set()
        self._turn = 0

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Use these endpoints for new connections; those that exist live on. Raises OSError."""
        self._endpoints = list(endpoints)
        if self._endpoints and self._acceptor is None:
            self._acceptor = Acceptor(self._address, self._port, self._accept)
            self._acceptor.drop(self._unanswered)
        elif not self._endpoints and self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None

    def update(self, unanswered: Callable[[Sequence[Endpoint]], Iterable[str]]) -> None:
        """Something about the network has changed: look at every way again.

        Args:
            unanswered: the addresses from which no way leads to any of the endpoints.
        """
        sources = frozenset(unanswered(self._endpoints)) if self._endpoints else frozenset()
        if sources != self._unanswered:
            self._unanswered = sources
            if self._acceptor is not None:
                self._acceptor.drop(sources)
        for connection in list(self._connections):
            connection.update()

    def endpoints(self) -> list[Endpoint]:
        """The endpoints in the order to try for the next connection (round robin)."""
        if not self._endpoints:
            return []
        self._turn = (self._turn + 1) % len(self._endpoints)
        return [*self._endpoints[self._turn :], *self._endpoints[: self._turn]]

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self.set_endpoints([])
        for connection in list(self._connections):
            connection.reset()

    def _accept(self, client: socket.socket, address: tuple[str, int]) -> None:
        self._connections.add(Connection(client, address[0], self, self._connections.discard))


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
