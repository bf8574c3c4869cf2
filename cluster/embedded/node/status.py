"""The status of a pod as the kubelet reports it: a pure function of the pod and the state of its containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cluster.embedded.node import podspec
from cluster.embedded.resources import Object

NODE_SHUTDOWN: Object = {
    "reason": "Terminated",
    "message": "Pod was terminated in response to imminent node shutdown.",
}
REJECTED_BY_SHUTDOWN: Object = {
    "phase": "Failed",
    "reason": "NodeShutdown",
    "message": "Pod was rejected as the node is shutting down.",
}
_DISRUPTED = "DisruptionTarget"
_LOST = 255
"""The exit code that is reported of a container that nobody saw end."""


def wall_clock() -> str:
    """Now, as the API writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class ContainerView:
    """What there is to say about one container.

    Attributes:
        state: ``{"waiting": ...}``, ``{"running": ...}`` or ``{"terminated": ...}``.
        last_state: the end of the previous run, or empty.
        passed_startup: the startup probe succeeded, or there is none.
        passed_readiness: the readiness probe's result, or True when there is none.
    """

    name: str
    state: Object
    last_state: Object = field(default_factory=dict)
    restart_count: int = 0
    image_id: str = ""
    container_id: str = ""
    passed_startup: bool = False
    passed_readiness: bool = False

    @property
    def is_running(self) -> bool:
        return "running" in self.state

    @property
    def started(self) -> bool:
        return self.is_running and self.passed_startup

    @property
    def ready(self) -> bool:
        return self.started and self.passed_readiness

    @property
    def exit_code(self) -> int | None:
        """Exit code of a container that has ended, else None."""
        terminated = self.state.get("terminated")
        return None if terminated is None else int(terminated["exitCode"])

    def waiting(self, reason: str, message: str = "") -> None:
        """Be waiting; the end of the last run moves to the last state."""
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def resume(self, status: Object) -> int:
        """Take up what was reported of a container whose process is gone, as after the machine's restart.

        Returns the number of its next run.
        """
        ended = dict((status.get("state") or {}).get("terminated") or {})
        began = ((status.get("state") or {}).get("running") or {}).get("startedAt")
        if began:
            ended = {"exitCode": _LOST, "reason": "Unknown", "startedAt": began, "finishedAt": wall_clock()}
        before = (status.get("lastState") or {}).get("terminated")
        if not ended and not before:
            return 0
        if ended:
            ended["containerID"] = status.get("containerID", "")
        self.last_state = {"terminated": ended or before}
        self.restart_count = int(status.get("restartCount") or 0)
        return self.restart_count + 1

    def stop_waiting(self) -> None:
        """Wait for no further run: the end of the last one is the state."""
        if "waiting" in self.state and self.last_state:
            self.state = self.last_state


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the node knows of a pod beside its containers.

    Attributes:
        finished: what the pod held is given back; only then its last phase is told (Kubernetes: pod lifecycle).
        last_phase: the phase told before.
    """

    host_ip: str
    pod_ip: str
    start_time: str
    sandbox_ready: bool
    terminating: bool
    finished: bool = True
    last_phase: str = "Pending"


def pod_status(pod: Object, views: Mapping[str, ContainerView], facts: PodFacts, previous: Sequence[Object]) -> Object:
    """The status to write.

    Args:
        views: the containers by name.
        previous: conditions as written last; a condition that did not change keeps its transition time.
    """
    phase = pod_phase(pod, views, terminating=facts.terminating)
    generation = pod["metadata"].get("generation", 1)
    status: Object = {
        "observedGeneration": generation,
        "phase": _told_phase(phase, facts),
        "conditions": _conditions(pod, views, facts, phase, previous),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": facts.start_time,
        "containerStatuses": [
            _container_status(spec, views[spec["name"]])
            for spec in sorted(podspec.containers(pod), key=lambda c: str(c["name"]))
        ],
        "qosClass": (pod.get("status") or {}).get("qosClass") or podspec.qos_class(pod),
    }
    if facts.pod_ip:
        status |= {"podIP": facts.pod_ip, "podIPs": [{"ip": facts.pod_ip}]}
    if inits := podspec.init_containers(pod):
        status["initContainerStatuses"] = [_container_status(s, views[s["name"]], is_init=True) for s in inits]
    return status


def failed(status: Object, why: Object, before: Object | None) -> Object:
    """The status of a pod that was ended for a reason of the node's (Kubernetes documentation: Node Shutdowns)."""
    known = {condition["type"]: condition for condition in (before or {}).get("conditions") or []}
    cause = {"status": "True", "reason": "TerminationByKubelet", "message": str(why["message"])}
    disrupted = _condition(_DISRUPTED, cause, status["observedGeneration"], known.get(_DISRUPTED))
    kept = [condition for condition in status["conditions"] if condition["type"] != _DISRUPTED]
    return {**status, **why, "phase": "Failed", "conditions": [*kept, disrupted]}


def _told_phase(phase: str, facts: PodFacts) -> str:
    over = phase in ("Succeeded", "Failed")
    return facts.last_phase if over and not (facts.finished or facts.terminating) else phase


def pod_phase(pod: Object, views: Mapping[str, ContainerView], *, terminating: bool) -> str:
    """The phase, as the kubelet derives it from the containers (Kubernetes: pod lifecycle)."""
    policy = "Never" if terminating else podspec.restart_policy(pod)
    if _uninitialized(pod, views):
        return "Failed" if policy == "Never" and _initialization_failed(pod, views, terminating) else "Pending"
    mine = [views[spec["name"]] for spec in podspec.containers(pod)]
    sidecars = [views[spec["name"]] for spec in podspec.init_containers(pod) if podspec.is_sidecar(spec)]
    if any(not view.is_running and not _has_ended(view) for view in mine):
        return "Failed" if terminating and not any(view.is_running for view in mine) else "Pending"
    if any(view.is_running for view in mine + sidecars) or policy == "Always":
        return "Running"
    if all(_last_exit_code(view) == 0 for view in mine):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _uninitialized(pod: Object, views: Mapping[str, ContainerView]) -> list[str]:
    """Init containers that hold the pod back; none once an app container has started."""
    if any(views[s["name"]].is_running or _has_ended(views[s["name"]]) for s in podspec.containers(pod)):
        return []
    specs = podspec.init_containers(pod)
    return [spec["name"] for spec in specs if not _is_initialized(spec, views[spec["name"]])]


def _initialization_failed(pod: Object, views: Mapping[str, ContainerView], terminating: bool) -> bool:
    mine = [views[spec["name"]] for spec in podspec.init_containers(pod)]
    if terminating:
        return not any(view.is_running for view in mine)
    return any(view.exit_code not in (None, 0) for view in mine)


def _has_ended(view: ContainerView) -> bool:
    return "terminated" in view.state or "terminated" in view.last_state


def _last_exit_code(view: ContainerView) -> int:
    ended = view.state.get("terminated") or view.last_state.get("terminated") or {}
    return int(ended.get("exitCode", 0))


def _is_initialized(spec: Object, view: ContainerView) -> bool:
    return view.started if podspec.is_sidecar(spec) else view.exit_code == 0


def _conditions(
    pod: Object, views: Mapping[str, ContainerView], facts: PodFacts, phase: str, previous: Sequence[Object]
) -> list[Object]:
    unready = _readiness(pod, views, phase)
    ready = {"status": "False" if unready else "True", **unready}
    wanted: dict[str, dict[str, str]] = {
        "PodReadyToStartContainers": {"status": "True" if facts.sandbox_ready else "False"},
        "Initialized": _initialized(pod, views, phase),
        "Ready": ready,
        "ContainersReady": ready,
    }
    foreign = [c for c in (pod.get("status") or {}).get("conditions") or [] if c["type"] not in wanted]
    if not any(c["type"] == "PodScheduled" for c in foreign):
        wanted["PodScheduled"] = {"status": "True"}
    generation = pod["metadata"].get("generation", 1)
    before = {c["type"]: c for c in previous}
    mine = [_condition(kind, content, generation, before.get(kind)) for kind, content in wanted.items()]
    return mine + [_observed(condition, generation) for condition in foreign]


def _condition(kind: str, content: Mapping[str, str], generation: int, before: Object | None) -> Object:
    kept = before is not None and before["status"] == content["status"]
    return {
        "type": kind,
        "observedGeneration": generation,
        "status": content["status"],
        "lastProbeTime": None,
        "lastTransitionTime": before["lastTransitionTime"] if kept and before else wall_clock(),
        **{key: value for key, value in content.items() if key != "status"},
    }


def _observed(condition: Object, generation: int) -> Object:
    return {**condition, "observedGeneration": generation} if condition["type"] == "PodScheduled" else condition


def _initialized(pod: Object, views: Mapping[str, ContainerView], phase: str) -> dict[str, str]:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    missing = _uninitialized(pod, views)
    if not missing:
        return {"status": "True"}
    message = f"containers with incomplete status: [{' '.join(missing)}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": message}


def _readiness(pod: Object, views: Mapping[str, ContainerView], phase: str) -> dict[str, str]:
    """Reason and message of Ready and ContainersReady when false; empty when true."""
    if phase in ("Succeeded", "Failed"):
        return {"reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    specs = [s for s in podspec.init_containers(pod) if podspec.is_sidecar(s)] + podspec.containers(pod)
    unready = [spec["name"] for spec in specs if not views[spec["name"]].ready]
    if not unready:
        return {}
    return {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}


def _container_status(spec: Object, view: ContainerView, *, is_init: bool = False) -> Object:
    finished_init = is_init and not podspec.is_sidecar(spec) and view.exit_code == 0
    status: dict[str, Any] = {
        "name": view.name,
        "state": view.state,
        "lastState": view.last_state,
        "ready": finished_init or (view.ready and (not is_init or podspec.is_sidecar(spec))),
        "restartCount": view.restart_count,
        "image": spec.get("image", ""),
        "imageID": view.image_id,
        "started": view.started,
    }
    if view.container_id:
        status |= {"containerID": view.container_id, "resources": _resources(spec)}
    if (resources := spec.get("resources")) and (resources.get("requests") or resources.get("limits")):
        status["allocatedResources"] = podspec.requests(spec)
    if mounts := [_mount_status(mount) for mount in podspec.volume_mounts(spec)]:
        status["volumeMounts"] = mounts
    return status


def _resources(spec: Object) -> Object:
    limits = (spec.get("resources") or {}).get("limits") or {}
    requests = podspec.requests(spec)
    return ({"limits": limits} if limits else {}) | ({"requests": requests} if requests else {})


def _mount_status(mount: Object) -> Object:
    status = {"name": mount["name"], "mountPath": mount["mountPath"]}
    return status | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})
