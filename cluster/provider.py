"""Where a game day can run: one small protocol, so that nothing above it knows which cluster it is on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        provider: ``embedded``, ``envtest`` or ``existing``.
        kubeconfig: how to reach it.
        state_dir: its files, None for a cluster that is not ours.
        capabilities: what can be had on it, such as ``direct-service-addresses``.
    """

    name: str
    provider: str
    kubeconfig: Path
    state_dir: Path | None = None
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What is known of a cluster. ``started`` is UNIX time in seconds."""

    name: str
    running: bool
    server: str
    pid: int
    started: float
    state_dir: Path


class Provider(Protocol):
    """Starts and stops clusters of one kind."""

    def up(self, name: str, *, state_dir: Path, detached: bool) -> Cluster:
        """Start a cluster and wait until it serves. Raises EnvironmentUnusable or InputError."""
        ...

    def down(self, state_dir: Path) -> None:
        """Stop a cluster and everything it started. A cluster that is gone is fine."""
        ...

    def status(self, state_dir: Path) -> ClusterStatus | None:
        """What runs with that state folder, None when nothing ever did."""
        ...
