"""What a node is told when it starts, and the services it needs from the rest of the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cluster.embedded.resources import Object

KUBELET_VERSION = "v1.36.2"
"""The kubelet whose recorded behaviour this node follows, and what the node and its probes call themselves."""


@dataclass(frozen=True)
class NodeSettings:
    """Settings of one node.

    Attributes:
        name: name of the Node object.
        address: the node's IP address, shown as InternalIP and as hostIP of its pods.
        root: state folder of this node (pod folders, logs); created when missing.
        capacity: quantities by resource name, such as ``{"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4"}``.
        restart_backoff_base_seconds: delay of the first delayed restart; it doubles from there (Kubernetes: 10 s).
        restart_backoff_max_seconds: longest delay between restarts (Kubernetes: 300 s).
        backoff_reset_seconds: a container that ran this long starts again without delay (Kubernetes: 600 s).
        sync_period_seconds: how often a pod is looked at without a cause (kubelet's pod worker: 1 s).
        memory_poll_seconds: how often the memory of containers with a limit is measured.
        metrics_window_seconds: over how long the CPU usage of containers is measured (kubelet: 10 s).
        dns: ``ADDRESS:PORT`` of the cluster's DNS server, given to containers as ``CLUSTER_DNS``.
        relay: ``ADDRESS:PORT`` of the way from pod to pod, given to containers as ``CLUSTER_RELAY``.
        service_host, service_port: where containers reach the API (``KUBERNETES_SERVICE_HOST`` and ``_PORT``).
        pod_shim: folder put first on every container's PYTHONPATH.
        kubelet_port: where the API server reaches this node's logs and commands over HTTPS; 0 when in the process.
        shutdown_grace_seconds: how long pods have to end when the machine is switched off (kubelet:
            shutdownGracePeriod).
        log_max_bytes: a container's log is rotated at this size; one older part is kept.
    """

    name: str
    address: str
    root: Path
    capacity: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, Any], ...] = ()
    restart_backoff_base_seconds: float = 10.0
    restart_backoff_max_seconds: float = 300.0
    backoff_reset_seconds: float = 600.0
    sync_period_seconds: float = 1.0
    memory_poll_seconds: float = 0.05
    metrics_window_seconds: float = 10.0
    dns: str = ""
    relay: str = ""
    cluster_domain: str = "cluster.local"
    service_host: str = ""
    service_port: int = 443
    pod_shim: Path | None = None
    kubelet_port: int = 0
    log_max_bytes: int = 10 * 1024 * 1024
    shutdown_grace_seconds: float = 30.0


class PodNetwork(Protocol):
    """Hands out pod addresses."""

    def allocate(self, pod_uid: str) -> str:
        """The address of a pod; the same one for the same uid until it is released."""
        ...

    def release(self, pod_uid: str) -> None: ...


class Recorder(Protocol):
    """Writes core/v1 Events; the same event again raises its count."""

    def event(self, involved_obj: Object, type: str, reason: str, message: str, /, *, field_path: str = "") -> None: ...

    def forget(self) -> None:
        """Count anew."""
        ...
