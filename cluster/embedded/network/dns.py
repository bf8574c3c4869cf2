"""The cluster's DNS server: authoritative for cluster.local, and for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSError, DNSRecord

from cluster.embedded.informer import Informer
from cluster.embedded.network.names import Lookup, is_cluster_name, look_up
from cluster.embedded.network.paths import NODE, Paths

_TTL_SECONDS = 5


class DnsServer:
    """Answers A queries over UDP."""

    def __init__(self, services: Informer, slices: Informer, paths: Paths) -> None:
        self._paths = paths
        self._services = services
        self._slices = slices
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self, address: str) -> int:
        """Listen on an address at a free port; returns the port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self.answer), (address, 0))
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def stop(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()

    def answer(self, query: bytes, source: str = NODE) -> bytes | None:
        """The reply to a query from an address, None for silence."""
        try:
            request = DNSRecord.parse(query)
        except DNSError:
            return None
        name = str(request.q.qname).rstrip(".").lower()
        reply = request.reply(aa=1, ra=0)
        fault = self._paths.dns_fault(name, source)
        if fault == "Timeout":
            return None
        if fault == "SERVFAIL":
            reply.header.rcode = RCODE.SERVFAIL
        elif not is_cluster_name(name):
            reply.header.rcode = RCODE.REFUSED
        else:
            found = Lookup(False) if fault else self._look_up(name)
            if not found.known:
                reply.header.rcode = RCODE.NXDOMAIN
            elif request.q.qtype in (QTYPE.A, QTYPE.ANY):
                for address in found.addresses:
                    reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=_TTL_SECONDS))
        packed: bytes = reply.pack()
        return packed

    def _look_up(self, name: str) -> Lookup:
        return look_up(name, self._services.objects, self._slices.objects.values())


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes, str], bytes | None]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._answer(data, addr[0])
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)
