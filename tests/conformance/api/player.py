"""The kubelet of the recordings: it posts states after fixed delays and starts nothing.

What it does is described under ``actors`` in each recording: a pod bound to one of its nodes is reported as
ContainerCreating, Running and Ready; a deleted one is removed after a while. The annotation ``golden/kubelet`` and
the image tag ``bad`` select other behaviour. It speaks HTTP like any client.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from tests.conformance.api.http import Http
from tests.conformance.normalise import generated

BEHAVIOUR = "golden/kubelet"
DELAYS_SECONDS = {"creating": 0.05, "running": 0.3, "ready": 0.6, "stop": 0.3}
_DELAY = re.compile(r"'?(creating|ready|running|stop)'?: ([\d.]+)")
_UNREADY = ("ContainersNotReady", "containers with unready status: [{}]")


class Player:
    """Plays the kubelets of all nodes.

    Args:
        http: the API, as user agent ``Python``.
        behaviours: by the name of a pod (without what is generated), where its annotation does not tell.
        delays_seconds: after which each state is posted, counted from the binding (``stop``: from the deletion).
    """

    def __init__(
        self, http: Http, delays_seconds: dict[str, float] | None = None, behaviours: dict[str, str] | None = None
    ) -> None:
        self._http = http
        self._delays = {**DELAYS_SECONDS, **(delays_seconds or {})}
        self._behaviours = behaviours or {}
        self._addresses = itertools.count(2)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.absent: set[str] = set()

    async def run(self, events: asyncio.Queue[dict[str, Any]]) -> None:
        """Follow pods (watch events, as an observer sees them) until cancelled."""
        try:
            while True:
                event = await events.get()
                self.follow(event["type"], event["object"])
        finally:
            for task in self._tasks.values():
                task.cancel()

    def follow(self, kind: str, pod: dict[str, Any]) -> None:
        """Take note of a pod as it is now; ``kind`` is the type of a watch event."""
        metadata, node = pod["metadata"], pod["spec"].get("nodeName")
        uid = metadata["uid"]
        if kind == "DELETED":
            for phase in ("start", "stop"):
                if task := self._tasks.pop(f"{phase}/{uid}", None):
                    task.cancel()
        elif not node or node in self.absent or self._behaviour(pod) == "ignore":
            return
        elif "deletionTimestamp" in metadata:
            if task := self._tasks.get(f"start/{uid}"):
                task.cancel()
            if self._behaviour(pod) != "hang":
                self._begin(f"stop/{uid}", self._stop, pod)
        elif pod["status"].get("phase") == "Pending" and "containerStatuses" not in pod["status"]:
            self._begin(f"start/{uid}", self._start, pod)

    def _begin(
        self, key: str, work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], pod: dict[str, Any]
    ) -> None:
        if key not in self._tasks:
            self._tasks[key] = asyncio.ensure_future(work(pod))

    def _behaviour(self, pod: dict[str, Any]) -> str:
        images = [container["image"] for container in pod["spec"]["containers"]]
        if any(image.endswith(":bad") for image in images):
            return "badimage"
        told = (pod["metadata"].get("annotations") or {}).get(BEHAVIOUR)
        return str(told or self._behaviours.get(generated(pod["metadata"]["name"]), ""))

    async def _start(self, pod: dict[str, Any]) -> None:
        behaviour, delays = self._behaviour(pod), self._delays
        await asyncio.sleep(delays["creating"])
        await self._post(pod, _creating(pod))
        if behaviour == "creating":
            return
        await asyncio.sleep(delays["running"] - delays["creating"])
        address = f"10.244.0.{next(self._addresses)}"
        if behaviour == "badimage":
            await self._post(pod, _waiting(pod, "ErrImagePull", address))
            await asyncio.sleep(delays["ready"] - delays["running"])
            await self._post(pod, _waiting(pod, "ImagePullBackOff", address))
            return
        await self._post(pod, _running(pod, address, ready=False))
        if behaviour == "notready":
            return
        await asyncio.sleep(delays["ready"] - delays["running"])
        ends = {"crash": _crashed, "complete": _completed, "fail": _failed}
        if behaviour in ends:
            await self._post(pod, ends[behaviour](pod, address))
        else:
            await self._post(pod, _running(pod, address, ready=True))

    async def _stop(self, pod: dict[str, Any]) -> None:
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        if grace:
            await asyncio.sleep(self._delays["stop"])
        await self._http.call("DELETE", _path(pod), "gracePeriodSeconds=0")

    async def _post(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        generation = pod["metadata"].get("generation", 1)
        for condition in status["conditions"]:
            condition.setdefault("observedGeneration", generation)
        patch = {"status": {"observedGeneration": generation, **status}}
        await self._http.call(
            "PATCH", f"{_path(pod)}/status", "", patch, content_type="application/strategic-merge-patch+json"
        )


def behaviours_of(parts: list[dict[str, Any]]) -> dict[str, str]:
    """How pods ended in a recording, by name without what is generated."""
    ends = {"Succeeded": "complete", "Failed": "fail", "CrashLoopBackOff": "crash"}
    actions = [action for part in parts for action in part.get("kubelet") or [] if action["action"] in ends]
    return {generated(action["pod"].rpartition("/")[2]): ends[action["action"]] for action in actions}


def delays_of(recording: dict[str, Any]) -> dict[str, float]:
    """The delays that a recording states (seconds)."""
    actors = recording.get("actors") or {}
    given = next((value for key, value in actors.items() if "delays" in key), {})
    if isinstance(given, dict):
        return {key: float(value) for key, value in given.items() if key in DELAYS_SECONDS}
    return {name: float(value) for name, value in _DELAY.findall(str(given))}


def _path(pod: dict[str, Any]) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(
    pod: dict[str, Any], *, started: bool, ready: bool, reason: str = "", message: str = ""
) -> list[dict[str, Any]]:
    names = " ".join(container["name"] for container in pod["spec"]["containers"])
    shown: dict[str, Any] = {"status": "True" if ready else "False", "reason": None, "message": None}
    if not ready:
        shown["reason"] = reason or _UNREADY[0]
        if message or not reason:
            shown["message"] = message or _UNREADY[1].format(names)
    states: tuple[tuple[str, dict[str, Any]], ...] = (
        ("PodReadyToStartContainers", {"status": "True" if started else "False"}),
        ("Initialized", {"status": "True"}),
        ("Ready", shown),
        ("ContainersReady", shown),
    )
    return [{"type": kind, "lastProbeTime": None, "lastTransitionTime": _now(), **state} for kind, state in states]


def _containers(pod: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return [
        {"image": c["image"], "lastState": {}, "name": c["name"], "restartCount": 0, **fields}
        for c in pod["spec"]["containers"]
    ]


def _base(pod: dict[str, Any], phase: str, address: str = "") -> dict[str, Any]:
    base: dict[str, Any] = {
        "phase": phase,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "startTime": _now(),
    }
    if address:
        base |= {"podIP": address, "podIPs": [{"ip": address}]}
    return base


def _creating(pod: dict[str, Any]) -> dict[str, Any]:
    return _waiting(pod, "ContainerCreating")


def _waiting(pod: dict[str, Any], reason: str, address: str = "") -> dict[str, Any]:
    image = pod["spec"]["containers"][0]["image"]  # the recorded player named the first for all
    statuses = [
        {**status, "state": {"waiting": _why(reason, image)}}
        for status in _containers(pod, imageID="", ready=False, started=False)
    ]
    conditions = _conditions(pod, started=bool(address), ready=False)
    return {**_base(pod, "Pending", address), "conditions": conditions, "containerStatuses": statuses}


def _why(reason: str, image: str) -> dict[str, Any]:
    messages = {
        "ErrImagePull": f'failed to pull image "{image}"',
        "ImagePullBackOff": f'Back-off pulling image "{image}"',
    }
    return {"reason": reason, **({"message": messages[reason]} if reason in messages else {})}


def _running(pod: dict[str, Any], address: str, *, ready: bool) -> dict[str, Any]:
    state = {"running": {"startedAt": _now()}}
    fields = {"containerID": _container(pod), "imageID": "sha256:0", "ready": ready, "started": True, "state": state}
    conditions = _conditions(pod, started=True, ready=ready)
    return {**_base(pod, "Running", address), "conditions": conditions, "containerStatuses": _containers(pod, **fields)}


def _crashed(pod: dict[str, Any], address: str) -> dict[str, Any]:
    last = {"terminated": _terminated(pod, 1, "Error")}
    waiting = {
        "reason": "CrashLoopBackOff",
        "message": "back-off 40s restarting failed container",
    }
    fields = {
        "containerID": _container(pod),
        "imageID": "sha256:0",
        "ready": False,
        "started": False,
        "state": {"waiting": waiting},
    }
    statuses = [{**s, "lastState": last, "restartCount": 3} for s in _containers(pod, **fields)]
    conditions = _conditions(pod, started=True, ready=False)
    return {**_base(pod, "Running", address), "conditions": conditions, "containerStatuses": statuses}


def _completed(pod: dict[str, Any], address: str) -> dict[str, Any]:
    return _ended(pod, address, "Succeeded", 0, "Completed", "PodCompleted")


def _failed(pod: dict[str, Any], address: str) -> dict[str, Any]:
    return _ended(pod, address, "Failed", 1, "Error", "")


def _ended(
    pod: dict[str, Any], address: str, phase: str, code: int, reason: str, condition_reason: str
) -> dict[str, Any]:
    state = {"terminated": _terminated(pod, code, reason)}
    statuses = _containers(pod, imageID="sha256:0", ready=False, started=False, state=state)
    conditions = _conditions(pod, started=True, ready=False, reason=condition_reason)
    return {**_base(pod, phase, address), "conditions": conditions, "containerStatuses": statuses}


def _terminated(pod: dict[str, Any], code: int, reason: str) -> dict[str, Any]:
    times = {"startedAt": _now(), "finishedAt": _now()}
    return {"containerID": _container(pod), "exitCode": code, "reason": reason, **times}


def _container(pod: dict[str, Any]) -> str:
    return f"fake://{pod['metadata']['uid'][:8]}"
