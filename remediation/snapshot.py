"""What was seen of a deployment at one moment: plain values that decisions are made from.

Everything here is frozen and free of I/O, so that a decision can be replayed from a recorded snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Termination:
    """How a container ended. `reason` and `exit_code` are the kubelet's words."""

    reason: str
    exit_code: int
    finished_at: str = ""


@dataclass(frozen=True)
class Container:
    """One container of a pod: its status, and what its spec allows it."""

    name: str
    ready: bool = False
    restart_count: int = 0
    waiting_reason: str = ""
    running_seconds: float | None = None
    terminated: Termination | None = None
    last_terminated: Termination | None = None
    memory_limit_bytes: int | None = None
    memory_request_bytes: int | None = None

    @property
    def terminations(self) -> tuple[Termination, ...]:
        """The current and the previous end of this container, newest first."""
        return tuple(t for t in (self.terminated, self.last_terminated) if t is not None)


@dataclass(frozen=True)
class Pod:
    """One pod. `replica_set` is the name of the owning ReplicaSet of the Deployment, or empty (hook pods and
    others).

    `stable` is Ready without a restart for the policy's settling window.
    """

    name: str
    replica_set: str = ""
    phase: str = "Unknown"
    ready: bool = False
    stable: bool = False
    terminating: bool = False
    hook: bool = False
    node: str = ""
    address: str = ""
    port: int = 8000
    unschedulable_message: str = ""
    containers: tuple[Container, ...] = ()
    gpus: int = 0
    uid: str = ""

    @property
    def serving(self) -> bool:
        """Whether it counts as healthy: Ready, owned by the Deployment, on no way out."""
        return self.ready and bool(self.replica_set) and not self.terminating and not self.hook


@dataclass(frozen=True)
class ReplicaSet:
    """One ReplicaSet of the Deployment. `fingerprint` identifies what its pods run (see `fingerprint.py`)."""

    name: str
    revision: int = 0
    desired: int = 0
    ready: int = 0
    current: bool = False
    fingerprint: str = ""
    memory_limit_bytes: int | None = None


@dataclass(frozen=True)
class Deployment:
    """The Deployment behind the release. `desired` is `spec.replicas`; `rolling_update` is as written in its
    spec.
    """

    name: str
    desired: int
    generation: int = 0
    observed_generation: int = 0
    updated: int = 0
    available: int = 0
    replicas: int = 0
    strategy: str = "RollingUpdate"
    max_surge: int = 1
    max_unavailable: int = 0
    rolling_update: Mapping[str, int | str] = field(default_factory=dict)
    progress_deadline_exceeded: bool = False
    gpus_per_pod: int = 0
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()
    strategy_changed_by_us: bool = False

    @property
    def rolled_out(self) -> bool:
        """Whether the rollout is complete, as `kubectl rollout status` judges it."""
        return (
            self.observed_generation >= self.generation
            and self.updated >= self.desired
            and self.replicas <= self.updated
            and self.available >= self.updated
        )


@dataclass(frozen=True)
class HelmRevision:
    """One revision of the release's history. `fingerprint` is that of the Deployment it rendered."""

    revision: int
    status: str
    description: str = ""
    deployed_at: str = ""
    chart: str = ""
    fingerprint: str = ""
    memory_limit_bytes: int | None = None

    @property
    def pending(self) -> bool:
        return self.status.startswith("pending-")

    @property
    def succeeded(self) -> bool:
        return self.status in ("deployed", "superseded")


@dataclass(frozen=True)
class RegistryEntry:
    """The model's row in the registry of record.

    A disable was meant when a reason was given; who did it is recorded either way, so an owner alone says nothing.
    """

    model: str
    environment: str
    status: str
    endpoint: str = ""
    namespace: str = ""
    reason: str = ""
    owner: str = ""

    @property
    def on_purpose(self) -> bool:
        return bool(self.reason)


@dataclass(frozen=True)
class Traffic:
    """Client-visible requests at the router over a window.

    `error_rate` (ratio 0-1) is None when it is not known: no traffic is never 0 %. A client's own 4xx and the
    refusal of a disabled model are requests, but no failures. `source` is `router`, `probe` or `none`.
    """

    requests: int = 0
    failures: int = 0
    refused: int = 0
    error_rate: float | None = None
    p95_seconds: float | None = None
    window_seconds: float = 0.0
    source: str = "none"
    problem: str = ""


@dataclass(frozen=True)
class Node:
    """One node's room. Memory in bytes; GPUs as counted by the extended resource."""

    name: str
    ready: bool = True
    schedulable: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    memory_bytes: int = 0
    gpus: int = 0
    gpus_in_use: int = 0


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler of the Deployment. `paused`: it scales in neither direction."""

    name: str
    min_replicas: int = 1
    max_replicas: int = 1
    paused: bool = False
    paused_by_us: bool = False


@dataclass(frozen=True)
class Event:
    """A Kubernetes event about one of the release's objects."""

    reason: str
    message: str
    object_name: str
    kind: str = "Pod"
    count: int = 1


@dataclass(frozen=True)
class Snapshot:
    """Everything observed at `taken_at` (monotonic seconds).

    `deployment` is None when none belongs to the release; `registry` is None when the entry does not exist or could
    not be read, and then `registry_problem` says which. `pod_completion` is None when no completion was tried.
    `observations` holds what the families of rules observed themselves, by family.
    `missing` names every source that could not be read: decisions never take silence for health.
    """

    taken_at: float
    deployment: Deployment | None = None
    pods: tuple[Pod, ...] = ()
    replica_sets: tuple[ReplicaSet, ...] = ()
    helm: tuple[HelmRevision, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)
    registry: RegistryEntry | None = None
    registry_problem: str = ""
    traffic: Traffic = field(default_factory=Traffic)
    nodes: tuple[Node, ...] = ()
    events: tuple[Event, ...] = ()
    pod_completion: bool | None = None
    pod_completion_detail: str = ""
    autoscalers: tuple[Autoscaler, ...] = ()
    observations: Mapping[str, object] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def workload_pods(self) -> tuple[Pod, ...]:
        """The pods of the Deployment's ReplicaSets that are not on their way out."""
        return tuple(p for p in self.pods if p.replica_set and not p.terminating and not p.hook)

    @property
    def healthy(self) -> int:
        return sum(pod.serving for pod in self.pods)

    @property
    def stable(self) -> int:
        return sum(pod.serving and pod.stable for pod in self.pods)

    @property
    def healthy_share(self) -> float | None:
        """Healthy pods / `spec.replicas`, at most 1; None for zero replicas and for no data."""
        return self._share(self.healthy)

    @property
    def stable_share(self) -> float | None:
        return self._share(self.stable)

    def _share(self, count: int) -> float | None:
        if self.deployment is None or self.deployment.desired <= 0:
            return None
        return min(1.0, count / self.deployment.desired)

    @property
    def release_revision(self) -> HelmRevision | None:
        """The newest revision of the release, whatever its state."""
        return max(self.helm, key=lambda r: r.revision, default=None)
