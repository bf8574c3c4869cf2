"""A real control plane on loopback (the binaries of ``$KUBEBUILDER_ASSETS``), with our nodes and network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cluster.envtest.binaries import Binaries
from cluster.provider import Cluster
from cluster.providers.process import ProcessProvider


@dataclass(frozen=True, slots=True)
class EnvtestProvider(ProcessProvider):
    """Needs etcd, kube-apiserver, kube-controller-manager and kube-scheduler. Its ports are always free ones."""

    kind: ClassVar[str] = "envtest"
    module: ClassVar[str] = "cluster.envtest.server"
    start_seconds: ClassVar[float] = 240.0

    def up(self, name: str, *, state_dir: Path, detached: bool) -> Cluster:
        """Start a cluster. Raises EnvironmentUnusable at once when a program is missing."""
        Binaries.find(os.environ)
        return ProcessProvider.up(self, name, state_dir=state_dir, detached=detached)
