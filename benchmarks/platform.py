"""The cluster and the platform that the benchmarks measure: the ones of a game day."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.helm import HelmClient
from clients.kube import KubeClient
from clients.registry import RegistryClient
from cluster.provider import Cluster
from cluster.providers.embedded import EmbeddedProvider
from gameday.session import Subject, values_of, wait_for_deployments
from remediation.discover import Wish, discover
from remediation.model import Target

ROOT = Path(__file__).resolve().parent.parent
IMAGE_MAP = ROOT / "services" / "images.yaml"
CONFIG = ROOT / "cluster" / "gameday.yaml"
SUBJECT = Subject(
    chart=ROOT / "charts" / "vllm-deployment",
    values=(ROOT / "charts" / "vllm-deployment" / "values-gameday.yaml",),
    platform_chart=ROOT / "charts" / "platform",
    platform_values=(ROOT / "charts" / "platform" / "values-gameday.yaml",),
)
READY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Platform:
    """An installed platform whose pods are all ready.

    Attributes:
        pid: of the cluster's process.
        helm_seconds: what the two installs took.
        ready_seconds: from the start of the first install until every pod was ready.
    """

    cluster: Cluster
    pid: int
    helm_seconds: float
    ready_seconds: float


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vllm-gameday-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def installed_platform(*, replicas: int | None = None) -> Iterator[Platform]:
    """A cluster of its own with both charts installed and all pods ready; all is stopped afterwards.

    Args:
        replicas: of the model server, instead of the values file's.

    Raises GamedayError when it does not come up.
    """
    provider = EmbeddedProvider(IMAGE_MAP, CONFIG)
    with scratch() as folder:
        state_dir = folder / "cluster"
        cluster = provider.up(folder.name, state_dir=state_dir, detached=False)
        try:
            status = provider.status(state_dir)
            assert status is not None
            yield _installed(cluster, status.pid, replicas)
        finally:
            provider.down(state_dir)


def _installed(cluster: Cluster, pid: int, replicas: int | None) -> Platform:
    values = values_of(SUBJECT.values) | ({} if replicas is None else {"replicaCount": replicas})
    platform_values = values_of(SUBJECT.platform_values)
    started = time.monotonic()
    with HelmClient(SUBJECT.namespace, cluster.kubeconfig) as helm:
        helm.install(SUBJECT.platform_release, SUBJECT.platform_chart, platform_values, create_namespace=True)
        helm.install(SUBJECT.release, SUBJECT.chart, values)
    installed = time.monotonic()
    wait_for_deployments(KubeClient(cluster.kubeconfig), SUBJECT.namespace, timeout_seconds=READY_SECONDS)
    return Platform(cluster, pid, installed - started, time.monotonic() - started)


def registered(platform: Platform) -> Target:
    """Register the model, as a game day does, and return what its clients need."""
    wish = Wish(SUBJECT.release, SUBJECT.namespace, environment=SUBJECT.environment, model=SUBJECT.model)
    target = discover(KubeClient(platform.cluster.kubeconfig), wish)
    endpoint = f"{SUBJECT.release}.{SUBJECT.namespace}.svc.cluster.local:8000"
    registry = RegistryClient(target.registry_url, target.registry_token)
    registry.register(SUBJECT.environment, SUBJECT.model, endpoint, SUBJECT.namespace)
    return target
