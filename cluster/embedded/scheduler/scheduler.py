"""Binds pending pods to nodes, and says why when it cannot."""

from __future__ import annotations

import asyncio
import logging

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.common import now
from cluster.embedded.events import EventType, scheduler_event
from cluster.embedded.informer import Informer
from cluster.embedded.resources import EVENTS, NODES, PODS, Object
from cluster.embedded.scheduler.fit import choose, explain, states_of

log = logging.getLogger(__name__)


async def run_scheduler(client: ApiClient) -> None:
    """Schedule until cancelled."""
    nodes, pods = Informer(client, NODES), Informer(client, PODS)
    scheduler = Scheduler(client, nodes, pods)
    async with asyncio.TaskGroup() as group:
        group.create_task(nodes.run())
        group.create_task(pods.run())
        group.create_task(scheduler.run())


class Scheduler:
    """One pass looks at every pending pod, oldest first; any change of pods or nodes asks for another pass."""

    def __init__(self, client: ApiClient, nodes: Informer, pods: Informer) -> None:
        self._client = client
        self._nodes = nodes
        self._pods = pods
        self._wake = asyncio.Event()
        self._assumed: dict[str, str] = {}  # uid -> node, until the cache shows the binding
        pods.add_handler(self._on_pod)
        nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(self._nodes.synced.wait(), self._pods.synced.wait())
        while True:
            self._wake.clear()
            await self._schedule_all()
            await self._wake.wait()

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        if new is None or new["spec"].get("nodeName"):
            self._assumed.pop(pod["metadata"]["uid"], None)
        fresh = old is None and new is not None and not new["spec"].get("nodeName")
        freed = new is None or (_finished(new) and not (old and _finished(old)))
        ungated = bool(old and new and _gated(old) and not _gated(new))
        if fresh or freed or ungated:
            self._wake.set()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _offer(old) != _offer(new):
            self._wake.set()

    async def _schedule_all(self) -> None:
        waiting = [pod for pod in self._pods.objects.values() if self._is_waiting(pod)]
        waiting.sort(key=lambda p: (-p["spec"].get("priority", 0), int(p["metadata"]["resourceVersion"])))
        for pod in waiting:
            try:
                await self._schedule(pod)
            except ApiError as error:
                if error.code not in (404, 409):
                    log.warning("scheduling %s failed: %s", pod["metadata"]["name"], error)

    def _is_waiting(self, pod: Object) -> bool:
        return (
            not pod["spec"].get("nodeName")
            and pod["metadata"]["uid"] not in self._assumed
            and not pod["metadata"].get("deletionTimestamp")
            and not _finished(pod)
            and not _gated(pod)
            and pod["spec"].get("schedulerName", "default-scheduler") == "default-scheduler"
        )

    async def _schedule(self, pod: Object) -> None:
        states = states_of(self._nodes.objects.values(), self._placed())
        chosen = choose(pod, list(states.values()))
        if chosen is None:
            await self._report_failure(pod, explain(pod, list(states.values())))
            return
        metadata = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": chosen.name},
        }
        self._assumed[metadata["uid"]] = chosen.name
        try:
            await self._client.create(PODS, binding, subresource="binding")
        except ApiError:
            self._assumed.pop(metadata["uid"], None)
            raise
        message = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {chosen.name}"
        await self._event(pod, "Normal", "Scheduled", message, "Binding")

    def _placed(self) -> list[Object]:
        """All pods, with those that were bound a moment ago counted on their nodes."""
        return [
            {**pod, "spec": {**pod["spec"], "nodeName": self._assumed[pod["metadata"]["uid"]]}}
            if pod["metadata"]["uid"] in self._assumed
            else pod
            for pod in self._pods.objects.values()
        ]

    async def _report_failure(self, pod: Object, message: str) -> None:
        conditions = pod.get("status", {}).get("conditions") or []
        current = next((c for c in conditions if c["type"] == "PodScheduled"), None)
        if current is None or current.get("message") != message:
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastProbeTime": None,
                "lastTransitionTime": (current or {}).get("lastTransitionTime") or now(),
                "observedGeneration": pod["metadata"].get("generation", 1),
            }
            patch = {"status": {"conditions": [*(c for c in conditions if c is not current), condition]}}
            metadata = pod["metadata"]
            await self._client.patch(PODS, metadata["name"], patch, metadata["namespace"], subresource="status")
        await self._event(pod, "Warning", "FailedScheduling", message, "Scheduling")

    async def _event(self, pod: Object, kind: EventType, reason: str, message: str, action: str) -> None:
        await self._client.create(EVENTS, scheduler_event(pod, kind, reason, message, action))


def _finished(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _gated(pod: Object) -> bool:
    return bool(pod["spec"].get("schedulingGates"))


def _offer(node: Object) -> tuple[object, ...]:
    spec, status = node.get("spec", {}), node.get("status", {})
    labels = node["metadata"].get("labels")
    return status.get("allocatable"), spec.get("taints"), spec.get("unschedulable"), labels
