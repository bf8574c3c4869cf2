"""The way from pod to pod that does not lead through a Service.

Pods have no network namespace, so nothing stands between two of their addresses. The pod shim therefore takes a detour:
before it connects to another pod, it asks the relay over UDP, ``SOURCE_PORT ADDRESS PORT``, and connects to the relay
instead (``relay``), or to the pod itself where nobody listens there (``direct``), so that it is refused as ever. Only
the holder of a pod's address can ask in its name.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass

from cluster.embedded.network.addresses import is_pod_address
from cluster.embedded.network.connection import Connection, dial
from cluster.embedded.network.flows import Endpoint, LinkFault
from cluster.embedded.network.paths import Paths
from cluster.embedded.network.proxy import Acceptor

log = logging.getLogger(__name__)

SYN_SECONDS = 130.0
"""How long a client may try to connect: Linux gives up after about 127 s (tcp_syn_retries 6)."""


@dataclass(slots=True)
class _Intent:
    """A connection that a pod is about to make. Without a link, its SYN is left unanswered."""

    endpoint: Endpoint
    link: socket.socket | None


@dataclass(frozen=True, slots=True)
class _ToPod:
    """The route to one pod."""

    paths: Paths
    endpoint: Endpoint

    def endpoints(self) -> list[Endpoint]:
        return [self.endpoint]

    def fault(self, source: str, endpoint: Endpoint) -> LinkFault:
        return self.paths.fault(source, endpoint)


class Relay:
    """Connects pods with pods, with whatever is wrong between them."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._intents: dict[tuple[str, int], _Intent] = {}
        self._connections: set[Connection] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._questions: asyncio.DatagramTransport | None = None
        paths.on_change(self._update)

    async def start(self, address: str) -> int:
        """Listen on an address at a free port, TCP and UDP; returns the port. Raises OSError."""
        self._acceptor = Acceptor(address, 0, self._accept)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Questions(self), (address, self._acceptor.port))
        except OSError:
            self._acceptor.close()
            raise
        self._questions = transport
        return self._acceptor.port

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._questions is not None:
            self._questions.close()
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        for client in list(self._intents):
            self._forget(client)
        for connection in list(self._connections):
            connection.reset()

    def ask(self, question: bytes, asker: tuple[str, int]) -> None:
        """Answer a question; nonsense is not answered."""
        try:
            port, address, destination = question.decode().split()
            client, endpoint = (asker[0], int(port)), (address, int(destination))
            known = is_pod_address(asker[0]) and is_pod_address(address)
        except ValueError:
            return
        if known:
            task = asyncio.get_running_loop().create_task(self._answer(client, endpoint, asker))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, client: tuple[str, int], endpoint: Endpoint, asker: tuple[str, int]) -> None:
        intent = self._intents.get(client)
        if intent is None or intent.endpoint != endpoint:
            link = None
            if not self._paths.fault(client[0], endpoint).black_hole:
                try:
                    link = await dial(client[0], endpoint)
                except OSError:
                    self._reply(b"direct", asker)
                    return
            self._forget(client)
            self._remember(client, _Intent(endpoint, link))
        self._reply(b"relay", asker)

    def _reply(self, answer: bytes, asker: tuple[str, int]) -> None:
        if self._questions is not None:
            self._questions.sendto(answer, asker)

    def _remember(self, client: tuple[str, int], intent: _Intent) -> None:
        self._intents[client] = intent
        asyncio.get_running_loop().call_later(SYN_SECONDS, self._expire, client, intent)
        if intent.link is None:
            self._drop()

    def _expire(self, client: tuple[str, int], intent: _Intent) -> None:
        if self._intents.get(client) is intent:
            self._forget(client)

    def _forget(self, client: tuple[str, int]) -> None:
        intent = self._intents.pop(client, None)
        if intent is not None and intent.link is not None:
            intent.link.close()
        elif intent is not None:
            self._drop()

    def _drop(self) -> None:
        """Leave the SYNs of those unanswered whose way is blocked."""
        if self._acceptor is not None:
            self._acceptor.drop(
                clients=[
                    client
                    for client, intent in self._intents.items()
                    if intent.link is None and self._paths.fault(client[0], intent.endpoint).black_hole
                ]
            )

    def _update(self) -> None:
        if any(intent.link is None for intent in self._intents.values()):
            self._drop()
        for connection in list(self._connections):
            connection.update()

    def _accept(self, client: socket.socket, address: tuple[str, int]) -> None:
        intent = self._intents.pop(address, None)
        if intent is None:
            log.warning("a connection of %s:%s to nowhere", *address)
            client.close()
            return
        route = _ToPod(self._paths, intent.endpoint)
        self._connections.add(Connection(client, address[0], route, self._connections.discard, back=intent.link))


class _Questions(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._relay.ask(data, addr[:2])
