"""The whole network of a cluster: names, Services, the way from pod to pod, and what is wrong with all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cluster.embedded.client import ApiClient
from cluster.embedded.informer import Informers
from cluster.embedded.network.dns import DnsServer
from cluster.embedded.network.fault_controller import FaultController
from cluster.embedded.network.paths import Paths
from cluster.embedded.network.relay import Relay
from cluster.embedded.network.services import ServiceProxy
from cluster.embedded.resources import ENDPOINT_SLICES, NAMESPACES, NETWORK_FAULTS, NETWORK_POLICIES, PODS, SERVICES


@dataclass(frozen=True, slots=True)
class NetworkAddresses:
    """What pods need to know, each as ``ADDRESS:PORT``."""

    dns: str
    relay: str


class Network:
    """Puts the parts together, on informers that they share."""

    def __init__(self, client: ApiClient) -> None:
        self.informers = Informers(client)
        of = self.informers.of
        services, slices = of(SERVICES), of(ENDPOINT_SLICES)
        self.paths = Paths(of(PODS), of(NAMESPACES), of(NETWORK_POLICIES))
        self.dns = DnsServer(services, slices, self.paths)
        self._relay = Relay(self.paths)
        self._proxy = ServiceProxy(services, slices, self.paths)
        self._faults = FaultController(client, of(NETWORK_FAULTS), services, self.paths)

    async def start(self, address: str) -> NetworkAddresses:
        """Listen on an address, at free ports. Raises OSError."""
        dns = await self.dns.start(address)
        relay = await self._relay.start(address)
        return NetworkAddresses(f"{address}:{dns}", f"{address}:{relay}")

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run())
            group.create_task(self._proxy.run())
            group.create_task(self._faults.run())

    def stop(self) -> None:
        """Stop listening."""
        self.dns.stop()
        self._relay.stop()
