"""Whether the node's kubelet runs. Containers go on without it: nobody probes, restarts, ends or reports them."""

from __future__ import annotations

import asyncio

PORT = 10250


class Kubelet:
    """The kubelet's life, apart from that of the containers.

    Args:
        address: the node's address.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._running = asyncio.Event()
        self._running.set()

    @property
    def is_running(self) -> bool:
        return self._running.is_set()

    @property
    def refusal(self) -> str:
        """What whoever dials a kubelet that is not there is told."""
        return f"dial tcp {self._address}:{PORT}: connect: connection refused"

    def stop(self) -> None:
        """The kubelet is gone."""
        self._running.clear()

    def start(self) -> None:
        """The kubelet is back."""
        self._running.set()

    async def wait(self) -> None:
        """Wait until the kubelet runs."""
        await self._running.wait()
