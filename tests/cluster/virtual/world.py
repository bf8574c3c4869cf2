"""A control plane with virtual nodes, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.embedded.config import VirtualNodesConfig
from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
from cluster.embedded.network.addresses import AddressPool
from cluster.embedded.scheduler import run_scheduler
from cluster.embedded.virtual.nodes import VirtualNodes
from tests.cluster.controllers.world import World


class Addresses(AddressPool):
    """A pool of pod addresses that says who holds one."""

    def __init__(self) -> None:
        super().__init__(16, 128, 256)

    @property
    def holders(self) -> set[str]:
        return set(self._held)


class VirtualWorld(World):
    """What a test touches."""

    def __init__(self, **config: Any) -> None:
        super().__init__(kubelet=False)
        self.addresses = Addresses()
        nodes = AddressPool(16, 64, 128)
        self.nodes = VirtualNodes(self.client, VirtualNodesConfig(**config), nodes.next_address, self.addresses)


def run(body: Callable[[VirtualWorld], Awaitable[None]], **config: Any) -> None:
    """Run a test in a world whose control plane works."""

    async def main() -> None:
        world = VirtualWorld(**config)
        parts = (run_controllers(world.client, ControllerSettings()), run_scheduler(world.client), world.nodes.run())
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await body(world)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
