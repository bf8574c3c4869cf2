"""Chooses and holds the cluster of a run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.kube import KubeClient
from cluster.provider import Cluster
from cluster.providers.embedded import EmbeddedProvider


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """Which cluster a run is to have.

    Attributes:
        kubeconfig: an existing cluster; None for an embedded one of its own.
        image_map, config, port: for the embedded one.
    """

    kubeconfig: Path | None
    image_map: Path
    config: Path | None = None
    port: int = 0

    @property
    def provider(self) -> str:
        """What the report calls it."""
        return "embedded" if self.kubeconfig is None else "existing"


@contextlib.contextmanager
def running_cluster(request: ClusterRequest, state_dir: Path, *, keep: bool) -> Iterator[Cluster]:
    """The cluster of a run; an embedded one is stopped at the end, unless it is to be kept."""
    if request.kubeconfig is not None:
        KubeClient(request.kubeconfig).list_objects("nodes")
        yield Cluster("existing", "existing", request.kubeconfig)
        return
    provider = EmbeddedProvider(request.image_map, request.config, request.port)
    cluster = provider.up(state_dir.parent.name, state_dir=state_dir, detached=keep)
    try:
        yield cluster
    finally:
        if not keep:
            provider.down(state_dir)
            _keep_only_the_log(state_dir)


def _keep_only_the_log(state_dir: Path) -> None:
    """Of a cluster that is gone, its log is evidence; its kubeconfig and certificates are secrets of no use."""
    log = state_dir / "server.log"
    if log.exists():
        (state_dir.parent / "cluster").mkdir(exist_ok=True)
        log.replace(state_dir.parent / "cluster" / "server.log")
    shutil.rmtree(state_dir, ignore_errors=True)
