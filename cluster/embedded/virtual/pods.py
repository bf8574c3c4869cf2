"""The status of a pod that is simulated: what a kubelet would report if everything went well. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

from cluster.embedded.node import podspec
from cluster.embedded.node.status import ContainerView, PodFacts, pod_status, wall_clock
from cluster.embedded.resources import Object

ENDED_WELL = 0


def creating_status(pod: Object, host_ip: str) -> Object:
    """The first report: the pod is on its node, and no container runs yet."""
    views = {spec["name"]: _view(pod, spec, _waiting) for spec in podspec.all_containers(pod)}
    return _reported(pod, views, PodFacts(host_ip, "", wall_clock(), sandbox_ready=False, terminating=False))


def running_status(pod: Object, host_ip: str, pod_ip: str) -> Object:
    """Init containers have ended, all others run and are ready, whatever their probes would say."""
    since = _start_time(pod)
    views = {spec["name"]: _view(pod, spec, _running) for spec in podspec.containers(pod)}
    for spec in podspec.init_containers(pod):
        views[spec["name"]] = _view(pod, spec, _running if podspec.is_sidecar(spec) else _ended)
    return _reported(pod, views, PodFacts(host_ip, pod_ip, since, sandbox_ready=True, terminating=False))


def runs(pod: Object) -> bool:
    """Whether the pod was reported as running in its present version (its images can change while it runs)."""
    status = pod.get("status") or {}
    return status.get("phase") == "Running" and status.get("observedGeneration") == pod["metadata"].get("generation", 1)


def is_reported(pod: Object) -> bool:
    """Whether the node has taken notice of the pod."""
    return "startTime" in (pod.get("status") or {})


def _reported(pod: Object, views: dict[str, ContainerView], facts: PodFacts) -> Object:
    previous = (pod.get("status") or {}).get("conditions") or []
    return pod_status(pod, views, facts, previous)


def _start_time(pod: Object) -> str:
    return str((pod.get("status") or {}).get("startTime") or wall_clock())


State = Callable[[str, str], Object]


def _view(pod: Object, spec: Object, state: State) -> ContainerView:
    name, image = str(spec["name"]), str(spec.get("image", ""))
    identity = f"containerd://{_digest(podspec.uid(pod), name)}"
    present = state(wall_clock(), identity)
    view = ContainerView(name, present)
    if "waiting" not in present:
        view.image_id, view.container_id = f"sha256:{_image_digest(image)}", identity
        view.passed_startup = view.passed_readiness = True
    return view


def _waiting(now: str, identity: str) -> Object:
    return {"waiting": {"reason": "ContainerCreating"}}


def _running(now: str, identity: str) -> Object:
    return {"running": {"startedAt": now}}


def _ended(now: str, identity: str) -> Object:
    times = {"startedAt": now, "finishedAt": now}
    return {"terminated": {"exitCode": ENDED_WELL, "reason": "Completed", **times, "containerID": identity}}


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


@lru_cache(maxsize=256)
def _image_digest(image: str) -> str:
    return _digest(image)
