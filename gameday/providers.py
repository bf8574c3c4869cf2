"""Chooses and holds the cluster of a run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.kube import KubeClient
from cluster.provider import Cluster
from cluster.providers import provider_of
from cluster.providers.embedded import EmbeddedProvider


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """Which cluster a run is to have.

    Attributes:
        kubeconfig: an existing cluster; None for one of its own.
        image_map, config, port: for the run's own cluster.
        kind: the provider of the run's own cluster.
    """

    kubeconfig: Path | None
    image_map: Path
    config: Path | None = None
    port: int = 0
    kind: str = EmbeddedProvider.kind

    @property
    def provider(self) -> str:
        """What the report calls it."""
        return self.kind if self.kubeconfig is None else "existing"


@contextlib.contextmanager
def running_cluster(request: ClusterRequest, state_dir: Path, *, keep: bool) -> Iterator[Cluster]:
    """The cluster of a run; one of its own is stopped at the end, unless it is to be kept."""
    if request.kubeconfig is not None:
        KubeClient(request.kubeconfig).list_objects("nodes")
        yield Cluster("existing", "existing", request.kubeconfig)
        return
    provider = provider_of(request.kind, image_map=request.image_map, config=request.config, port=request.port)
    cluster = provider.up(state_dir.parent.name, state_dir=state_dir, detached=keep)
    try:
        yield cluster
    finally:
        if not keep:
            provider.down(state_dir)
            _keep_only_the_log(state_dir)


def _keep_only_the_log(state_dir: Path) -> None:
    """Of a cluster that is gone, its logs are evidence; its kubeconfig and certificates are secrets of no use."""
    for log in (state_dir / "server.log", *(state_dir / "logs").glob("*.log")):
        if log.exists():
            (state_dir.parent / "cluster").mkdir(exist_ok=True)
            log.replace(state_dir.parent / "cluster" / log.name)
    shutil.rmtree(state_dir, ignore_errors=True)
