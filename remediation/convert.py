"""Kubernetes objects (JSON as the API server gives it) turned into the values of a snapshot. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from clients.addresses import reachable
from clients.helm_release import StoredRelease
from remediation.quantity import parse_or_none
from remediation.snapshot import (
    Autoscaler,
    Container,
    Deployment,
    Event,
    HelmRevision,
    Node,
    Pod,
    ReplicaSet,
    Termination,
)

Json = Mapping[str, Any]
GPU = "nvidia.com/gpu"
REVISION = "deployment.kubernetes.io/revision"
HOOK = "helm.sh/hook"
STRATEGY_BEFORE = "remediation.gameday.dev/strategy-before"
BEHAVIOR_BEFORE = "remediation.gameday.dev/behavior-before"
FINISHED = ("Succeeded", "Failed")


def deployment(source: Json) -> Deployment:
    """A Deployment with its strategy resolved to numbers of pods."""
    spec, status = source["spec"], source.get("status") or {}
    desired = spec.get("replicas", 1)
    strategy = spec.get("strategy") or {}
    surge, unavailable = _resolved(strategy.get("rollingUpdate") or {}, desired)
    pod_spec = spec["template"]["spec"]
    return Deployment(
        name=source["metadata"]["name"],
        desired=desired,
        generation=source["metadata"].get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        replicas=status.get("replicas", 0),
        strategy=strategy.get("type", "RollingUpdate"),
        max_surge=surge,
        max_unavailable=unavailable,
        rolling_update=strategy.get("rollingUpdate") or {},
        progress_deadline_exceeded=any(
            c.get("reason") == "ProgressDeadlineExceeded" for c in status.get("conditions") or ()
        ),
        gpus_per_pod=gpus(pod_spec),
        node_selector=pod_spec.get("nodeSelector") or {},
        tolerations=tuple(pod_spec.get("tolerations") or ()),
        strategy_changed_by_us=STRATEGY_BEFORE in (source["metadata"].get("annotations") or {}),
    )


def replica_set(source: Json, current_revision: str) -> ReplicaSet:
    """A ReplicaSet of a Deployment whose revision annotation is `current_revision`."""
    revision = (source["metadata"].get("annotations") or {}).get(REVISION, "0")
    template = source["spec"]["template"]
    return ReplicaSet(
        name=source["metadata"]["name"],
        revision=int(revision) if revision.isdigit() else 0,
        desired=source["spec"].get("replicas", 0),
        ready=(source.get("status") or {}).get("readyReplicas", 0),
        current=bool(current_revision) and revision == current_revision,
        fingerprint=fingerprint(template),
        memory_limit_bytes=memory_limit(template),
    )


def pod(source: Json, replica_sets: Collection[str], now: datetime, settling_seconds: float) -> Pod:
    """A pod. It belongs to the workload if one of `replica_sets` (names) owns it; otherwise it is a hook's or
    another's.
    """
    metadata, spec, status = source["metadata"], source["spec"], source.get("status") or {}
    owner: Json = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), {})
    owned = owner.get("kind") == "ReplicaSet" and owner.get("name") in replica_sets
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    ready = conditions.get("Ready", {}).get("status") == "True"
    containers = tuple(_containers(spec, status, now))
    return Pod(
        name=metadata["name"],
        replica_set=owner["name"] if owned else "",
        phase=status.get("phase", "Unknown"),
        ready=ready,
        stable=ready and _settled(conditions["Ready"], containers, now, settling_seconds),
        terminating="deletionTimestamp" in metadata,
        hook=HOOK in (metadata.get("annotations") or {}) or not owned,
        node=spec.get("nodeName", ""),
        address=reachable(status.get("podIP", "")),
        port=_port(spec),
        unschedulable_message=_unschedulable(conditions.get("PodScheduled", {})),
        containers=containers,
        gpus=gpus(spec),
        uid=metadata.get("uid", ""),
    )


def autoscaler(source: Json) -> Autoscaler:
    """A HorizontalPodAutoscaler (autoscaling/v2)."""
    spec = source["spec"]
    behavior = spec.get("behavior") or {}
    policies = [(behavior.get(direction) or {}).get("selectPolicy") for direction in ("scaleUp", "scaleDown")]
    return Autoscaler(
        name=source["metadata"]["name"],
        min_replicas=spec.get("minReplicas", 1),
        max_replicas=spec["maxReplicas"],
        paused=policies == ["Disabled", "Disabled"],
        paused_by_us=BEHAVIOR_BEFORE in (source["metadata"].get("annotations") or {}),
    )


def nodes(sources: Iterable[Json], pods: Iterable[Json]) -> tuple[Node, ...]:
    """Nodes with the GPUs that all pods of the cluster take from them."""
    in_use: dict[str, int] = {}
    for each in pods:
        name = each["spec"].get("nodeName")
        if name and (each.get("status") or {}).get("phase") not in FINISHED:
            in_use[name] = in_use.get(name, 0) + gpus(each["spec"])
    return tuple(_node(source, in_use) for source in sources)


def event(source: Json) -> Event:
    """A Kubernetes event (core/v1)."""
    involved = source.get("involvedObject") or {}
    return Event(
        reason=source.get("reason") or "",
        message=source.get("message") or "",
        object_name=involved.get("name", ""),
        kind=involved.get("kind", ""),
        count=(source.get("series") or source).get("count") or 1,
    )


def helm_revision(stored: StoredRelease, deployment_name: str) -> HelmRevision:
    """A revision, with what its Deployment would run."""
    template = _rendered_template(stored.manifest, deployment_name)
    return HelmRevision(
        revision=stored.revision,
        status=stored.status,
        description=stored.description,
        deployed_at=stored.deployed_at,
        chart=stored.chart_name,
        fingerprint=fingerprint(template) if template else "",
        memory_limit_bytes=memory_limit(template) if template else None,
    )


def fingerprint(template: Json) -> str:
    """Identifies what the pods of a template run: image, command line, environment, limits; not labels or probes.

    The same for a template as rendered by Helm and as defaulted by the API server.
    """
    parts = [
        {
            "name": c.get("name"),
            "image": c.get("image"),
            "command": c.get("command") or [],
            "args": c.get("args") or [],
            "env": [(e.get("name"), str(e.get("value") or "")) for e in c.get("env") or ()],
            "limits": {k: str(parse_or_none(v)) for k, v in sorted(_limits(c).items()) if k in ("memory", GPU)},
        }
        for c in template["spec"].get("containers") or ()
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def memory_limit(template: Json) -> int | None:
    """The largest memory limit of a template's containers, in bytes."""
    limits = [parse_or_none(_limits(c).get("memory")) for c in template["spec"].get("containers") or ()]
    return max((size for size in limits if size is not None), default=None)


def gpus(pod_spec: Json) -> int:
    """GPUs that a pod of this spec takes."""
    return sum(parse_or_none(_limits(c).get(GPU)) or 0 for c in pod_spec.get("containers") or ())


def _limits(container: Json) -> Json:
    return (container.get("resources") or {}).get("limits") or {}


def _resolved(rolling: Json, desired: int) -> tuple[int, int]:
    """`maxSurge` rounded up and `maxUnavailable` rounded down; both zero means one unavailable, as Kubernetes has
    it.
    """
    surge = _count(rolling.get("maxSurge", "25%"), desired, math.ceil)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), desired, math.floor)
    return surge, unavailable if surge or unavailable else 1


def _count(value: int | str, desired: int, rounded: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounded(int(value[:-1]) * desired / 100))
    return int(value)


def _containers(spec: Json, status: Json, now: datetime) -> Iterable[Container]:
    statuses = {c["name"]: c for c in status.get("containerStatuses") or ()}
    for container in spec.get("containers") or ():
        yield _container(container, statuses.get(container["name"], {}), now)


def _container(spec: Json, status: Json, now: datetime) -> Container:
    state = status.get("state") or {}
    running = state.get("running") or {}
    resources = spec.get("resources") or {}
    return Container(
        name=spec["name"],
        ready=status.get("ready", False),
        restart_count=status.get("restartCount", 0),
        waiting_reason=(state.get("waiting") or {}).get("reason", ""),
        running_seconds=_age(running.get("startedAt"), now),
        terminated=_termination(state.get("terminated")),
        last_terminated=_termination((status.get("lastState") or {}).get("terminated")),
        memory_limit_bytes=parse_or_none((resources.get("limits") or {}).get("memory")),
        memory_request_bytes=parse_or_none((resources.get("requests") or {}).get("memory")),
    )


def _termination(source: Json | None) -> Termination | None:
    if not source:
        return None
    return Termination(source.get("reason") or "", source.get("exitCode", 0), source.get("finishedAt") or "")


def _settled(ready: Json, containers: Sequence[Container], now: datetime, settling_seconds: float) -> bool:
    """Whether Ready, and every container that ever restarted, have lasted for the settling window."""
    since = _age(ready.get("lastTransitionTime"), now)
    ages = [since, *(c.running_seconds for c in containers if c.restart_count)]
    return all(age is not None and age >= settling_seconds for age in ages)


def _age(timestamp: str | None, now: datetime) -> float | None:
    if not timestamp:
        return None
    started = datetime.fromisoformat(timestamp)
    return (now - started.replace(tzinfo=started.tzinfo or UTC)).total_seconds()


def _unschedulable(scheduled: Json) -> str:
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return str(scheduled.get("message") or "Unschedulable")
    return ""


def _port(spec: Json) -> int:
    ports = [p for c in spec.get("containers") or () for p in c.get("ports") or ()]
    named = [p for p in ports if p.get("name") == "http"]
    return int((named or ports or [{"containerPort": 8000}])[0]["containerPort"])


def _node(source: Json, in_use: Mapping[str, int]) -> Node:
    metadata, spec, status = source["metadata"], source.get("spec") or {}, source.get("status") or {}
    allocatable = status.get("allocatable") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    blocking = tuple(t for t in spec.get("taints") or () if t.get("effect") != "PreferNoSchedule")
    return Node(
        name=metadata["name"],
        ready=ready,
        schedulable=not spec.get("unschedulable", False),
        labels=metadata.get("labels") or {},
        taints=blocking,
        memory_bytes=parse_or_none(allocatable.get("memory")) or 0,
        gpus=parse_or_none(allocatable.get(GPU)) or 0,
        gpus_in_use=in_use.get(metadata["name"], 0),
    )


def _rendered_template(manifest: str, deployment_name: str) -> Json | None:
    """The pod template of the release's Deployment in a rendered manifest."""
    found = [
        document
        for document in yaml.safe_load_all(manifest)
        if isinstance(document, dict) and document.get("kind") == "Deployment"
    ]
    named = [d for d in found if d["metadata"]["name"] == deployment_name] or (found if len(found) == 1 else [])
    return named[0]["spec"]["template"] if named else None
