"""What controllers read from pods: ready, available, and which pod goes first when there are too many. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cluster.embedded.meta import annotations_of, condition_of, has_condition, is_deleted, seconds_since
from cluster.embedded.resources import Object

_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase_of(pod: Object) -> str:
    """The phase; a pod without a status is Pending."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def node_name_of(pod: Object) -> str:
    """The node that the pod is bound to, or nothing: an index by which a node finds its pods."""
    return str(pod["spec"].get("nodeName") or "")


def is_finished(pod: Object) -> bool:
    """Succeeded or Failed: it holds no resources and will not run again."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Neither finished nor terminating."""
    return not is_finished(pod) and not is_deleted(pod)


def is_ready(pod: Object) -> bool:
    """Whether the condition Ready is True."""
    return has_condition(pod, "Ready")


def seconds_until_available(pod: Object, min_ready_seconds: int) -> float | None:
    """0 if the pod is available, the wait if it will be without further change, None if it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    condition = condition_of(pod, "Ready") or {}
    since = condition.get("lastTransitionTime")
    return max(0.0, min_ready_seconds - seconds_since(since)) if since else None


def to_delete(pods: Iterable[Object], count: int, related: Iterable[Object]) -> list[Object]:
    """The pods a ReplicaSet deletes first.

    In this order: unassigned, Pending, not ready, lower deletion cost, on a node with more related pods, ready for
    a shorter time, more restarts, newer (ages compare by powers of two, as Kubernetes does since 1.22).
    See "ReplicaSet: Scaling a ReplicaSet" in the Kubernetes documentation.

    Args:
        pods: the active pods of the ReplicaSet.
        count: how many to choose.
        related: the active pods of all ReplicaSets with the same owner.
    """
    crowd = Counter(pod["spec"].get("nodeName") for pod in related)
    moment = datetime.now(UTC)
    return sorted(pods, key=lambda pod: _deletion_rank(pod, crowd, moment))[:count]


def _deletion_rank(pod: Object, crowd: Counter[str | None], moment: datetime) -> tuple[Any, ...]:
    node = pod["spec"].get("nodeName")
    ready = is_ready(pod)
    condition = condition_of(pod, "Ready") or {}
    return (
        bool(node),
        _PHASE_RANK.get(phase_of(pod), 2),
        ready,
        deletion_cost(pod),
        -crowd[node],
        _age_rank(condition.get("lastTransitionTime"), moment) if ready else -1,
        -restarts(pod),
        _age_rank(pod["metadata"].get("creationTimestamp"), moment),
        pod["metadata"].get("uid", ""),
    )


def _age_rank(timestamp: str | None, moment: datetime) -> int:
    if not timestamp:
        return -1
    age = (moment - datetime.fromisoformat(timestamp)).total_seconds() * 1e9
    return math.floor(math.log2(age)) if age > 0 else -1


def deletion_cost(pod: Object) -> int:
    """``controller.kubernetes.io/pod-deletion-cost``; 0 when it is absent or no number."""
    try:
        return int(annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        return 0


def restarts(pod: Object) -> int:
    """The highest restart count among the containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)


def pod_from_template(template: Object, owner_name: str, namespace: str, owner: Object) -> Object:
    """The pod a ReplicaSet creates: generated name, the template's metadata and spec, one controller reference."""
    metadata = template.get("metadata") or {}
    fields = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{owner_name}-",
            "namespace": namespace,
            **fields,
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }
