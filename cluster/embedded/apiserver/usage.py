"""What containers use, as the nodes measure it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """One container, measured over a window.

    Attributes:
        cpu_nanocores: mean over the window.
        memory_bytes: anonymous and shared memory at its end.
        timestamp: its end, seconds since the epoch.
    """

    cpu_nanocores: int
    memory_bytes: int
    timestamp: float
    window_seconds: float


@dataclass(frozen=True, slots=True)
class PodUsage:
    """A running pod, all of whose running containers were measured, by container name."""

    namespace: str
    name: str
    containers: dict[str, ContainerUsage]


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """A node and its pods. ``total`` is what its pods use together: the machine is not the node's alone."""

    name: str
    total: ContainerUsage
    pods: list[PodUsage]


class UsageSource(Protocol):
    """Measures the nodes of a cluster."""

    def usage(self) -> list[NodeUsage]:
        """What every node used in the last window; nodes whose first window has not passed are left out."""
        ...
