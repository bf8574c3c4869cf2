"""The row of a pod: Kubernetes' rules for its one-word status."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cluster.embedded.apiserver.table_format import NONE, age, since
from cluster.embedded.resources import Object


def cells(pod: Object, now: datetime) -> list[Any]:
    """Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = sum(1 for c in containers if c.get("ready") and "running" in (c.get("state") or {}))
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or [])}",
        summary(pod),
        _restarts(status, now),
        age(pod, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def row_conditions(pod: Object) -> list[Object]:
    """A finished pod is marked, so that clients can leave it out."""
    marks = {
        "Succeeded": "The pod has completed successfully.",
        "Failed": "The pod failed.",
    }
    phase = (pod.get("status") or {}).get("phase", "")
    if phase not in marks:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": marks[phase]}]


def summary(pod: Object) -> str:
    """What kubectl prints as STATUS."""
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or "Unknown"
    if _is_gated(status):
        reason = "SchedulingGated"
    reason = _init_reason(pod) or _container_reason(status, reason)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        return reason if status.get("phase") in ("Succeeded", "Failed") else "Terminating"
    return reason


def _is_gated(status: Object) -> bool:
    return any(
        c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in status.get("conditions") or []
    )


def _init_reason(pod: Object) -> str:
    """``Init:...`` while the first unfinished init container runs, else nothing."""
    total = len((pod.get("spec") or {}).get("initContainers") or [])
    for index, container in enumerate((pod.get("status") or {}).get("initContainerStatuses") or []):
        state = container.get("state") or {}
        if terminated := state.get("terminated"):
            if terminated.get("exitCode") == 0:
                continue
            return f"Init:{_termination(terminated)}"
        waiting = (state.get("waiting") or {}).get("reason", "")
        return f"Init:{waiting}" if waiting not in ("", "PodInitializing") else f"Init:{index}/{total}"
    return ""


def _container_reason(status: Object, reason: str) -> str:
    """The reason of the first container that has one; a running one turns Completed into Running."""
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated:
            reason = _termination(terminated)
        elif container.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        return "Running" if _is_ready(status) else "NotReady"
    return reason


def _termination(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_ready(status: Object) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or [])


def _restarts(status: Object, now: datetime) -> str:
    containers = status.get("containerStatuses") or []
    count = sum(c.get("restartCount", 0) for c in containers)
    ends = [((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for c in containers]
    last = max((end for end in ends if end), default=None)
    return f"{count} ({since(last, now)} ago)" if count and last else str(count)


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or []]
    if not gates:
        return NONE
    true = {c["type"] for c in status.get("conditions") or [] if c.get("status") == "True"}
    return f"{sum(gate in true for gate in gates)}/{len(gates)}"
