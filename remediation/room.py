"""Whether a rollout has room: a surge pod needs GPUs, and without them it waits for ever (W29)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remediation.snapshot import Deployment, Node, Snapshot


@dataclass(frozen=True)
class Room:
    """Whether the next rollout can proceed as configured, or after taking one pod away first, and in words why."""

    fits: bool
    by_unavailable: bool
    text: str


def eligible_nodes(deployment: Deployment, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that a pod of the Deployment may run on: Ready, schedulable, selected, tolerated."""
    return [
        node
        for node in nodes
        if node.ready
        and node.schedulable
        and all(node.labels.get(key) == value for key, value in deployment.node_selector.items())
        and all(_tolerated(taint, deployment) for taint in node.taints)
    ]


def largest_memory(snapshot: Snapshot) -> int | None:
    """Allocatable bytes of the biggest node that the pods may run on; None when no node is known."""
    if snapshot.deployment is None:
        return None
    return max((n.memory_bytes for n in eligible_nodes(snapshot.deployment, snapshot.nodes)), default=None)


def rollout_room(snapshot: Snapshot) -> Room:
    """Judge room for one more pod of the Deployment.

    Failing pods of the current rollout count as room: the Deployment controller removes them first when the
    template changes. Without room, one serving pod can give way (`maxUnavailable` 1), unless it is the last one.
    """
    deployment = snapshot.deployment
    if deployment is None:
        return Room(False, False, "no Deployment is known")
    need = deployment.gpus_per_pod
    if need == 0:
        return Room(True, False, "the pods need no GPU")
    if deployment.strategy == "Recreate":
        return Room(True, False, "strategy Recreate frees its GPUs first")
    slots = sum(max(0, n.gpus - n.gpus_in_use) // need for n in eligible_nodes(deployment, snapshot.nodes))
    failing = sum(1 for p in snapshot.workload_pods if p.node and not p.ready)
    seen = f"{slots} free slot(s) of {need} GPU(s), {failing} failing pod(s) that give theirs back"
    if deployment.max_surge and slots + failing >= 1:
        return Room(True, False, f"a surge pod fits: {seen}")
    if deployment.max_unavailable >= 1:
        return Room(True, False, f"no surge pod fits ({seen}), but maxUnavailable is {deployment.max_unavailable}")
    if snapshot.healthy == 1:
        return Room(False, False, f"no surge pod fits ({seen}), and the only serving pod must not give way")
    return Room(False, True, f"no surge pod fits ({seen}): one pod must give way first (maxUnavailable 1)")


def _tolerated(taint: object, deployment: Deployment) -> bool:
    if not isinstance(taint, dict) or taint.get("effect") == "PreferNoSchedule":
        return True
    return any(_matches(taint, dict(toleration)) for toleration in deployment.tolerations)


def _matches(taint: dict[str, str], toleration: dict[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return toleration.get("key") == taint.get("key") and toleration.get("value", "") == taint.get("value", "")
