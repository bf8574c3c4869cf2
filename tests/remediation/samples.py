"""Snapshots as they are seen in the situations that the tests speak of."""

from __future__ import annotations

from typing import Any

from remediation.model import Target
from remediation.quantity import parse_quantity
from remediation.snapshot import (
    Container,
    Deployment,
    HelmRevision,
    Node,
    Pod,
    RegistryEntry,
    ReplicaSet,
    Snapshot,
    Termination,
    Traffic,
)

RELEASE = "llama-2-7b-production"
TARGET = Target(
    release=RELEASE,
    namespace="system",
    model="llama-2-7b",
    router_url="http://router:8080",
    registry_url="http://registry:8081",
    api_key="key-1",
    registry_token="token-1",
)
GOOD, BAD = "good", "bad"


def container(limit: str | None = "64Mi", **changes: Any) -> Container:
    return Container("vllm", memory_limit_bytes=parse_quantity(limit) if limit else None, **changes)


def serving_pod(name: str, replica_set: str = GOOD, **changes: Any) -> Pod:
    settings: dict[str, Any] = {
        "replica_set": replica_set,
        "phase": "Running",
        "ready": True,
        "stable": True,
        "node": "gpu-1",
        "containers": (container("512Mi", ready=True),),
        "gpus": 1,
    }
    return Pod(name, **{**settings, **changes})


def killed_pod(name: str, replica_set: str = BAD, limit: str | None = "64Mi", **changes: Any) -> Pod:
    killed = container(limit, waiting_reason="CrashLoopBackOff", restart_count=2, last_terminated=OOM)
    return Pod(name, replica_set, "Running", node="gpu-1", containers=(killed,), gpus=1, **changes)


OOM = Termination("OOMKilled", 137)


def traffic(requests: int, failures: int, p95: float | None = 0.5) -> Traffic:
    rate = failures / requests if requests else None
    return Traffic(requests, failures, 0, rate, p95, 10.0, "router" if requests else "none")


def snapshot(pods: tuple[Pod, ...], desired: int = 4, **changes: Any) -> Snapshot:
    """A deployment whose second revision lowered the memory limit; GPUs to spare."""
    settings: dict[str, Any] = {
        "taken_at": 0.0,
        "deployment": Deployment(RELEASE, desired, max_surge=1, max_unavailable=1, gpus_per_pod=1),
        "pods": pods,
        "replica_sets": (
            ReplicaSet(GOOD, 1, desired, sum(p.ready for p in pods if p.replica_set == GOOD), False, GOOD),
            ReplicaSet(BAD, 2, desired, sum(p.ready for p in pods if p.replica_set == BAD), True, BAD),
        ),
        "helm": (
            HelmRevision(1, "superseded", fingerprint=GOOD, memory_limit_bytes=parse_quantity("512Mi")),
            HelmRevision(
                2, "deployed", fingerprint=BAD, memory_limit_bytes=parse_quantity("64Mi"), chart="vllm-deployment"
            ),
        ),
        "values": {"resources": {"limits": {"memory": "64Mi", "nvidia.com/gpu": 1}}},
        "registry": RegistryEntry("llama-2-7b", "production", "ready"),
        "traffic": traffic(100, 0),
        "nodes": (Node("gpu-1", memory_bytes=parse_quantity("8Gi"), gpus=8, gpus_in_use=4),),
    }
    return Snapshot(**{**settings, **changes})


def mixed(healthy: int, desired: int, **changes: Any) -> Snapshot:
    """`healthy` serving pods of the good revision, the rest killed for memory in the bad one."""
    good = tuple(serving_pod(f"good-{i}") for i in range(healthy))
    bad = tuple(killed_pod(f"bad-{i}") for i in range(max(1, desired - healthy)))
    return snapshot((*good, *bad), desired, **changes)
