"""Node life cycle: a node whose Lease is no longer renewed is lost, and taints drive pods away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.node_health import (
    evict_taints,
    evicts,
    not_ready,
    readiness,
    schedule_taints,
    seconds_tolerated,
    silent,
)
from cluster.embedded.controllers.pods import is_finished, node_name_of
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import annotations_of, condition_of, is_deleted, key_of, now
from cluster.embedded.resources import LEASES, NODES, PODS, Object

_LEASE_NAMESPACE = "kube-node-lease"
TTL = "node.alpha.kubernetes.io/ttl"
"""How many seconds a kubelet may cache Secrets and ConfigMaps; 0 in clusters of up to 100 nodes."""


class NodeController:
    """Watches Nodes and their Leases; writes taints, and Unknown when heartbeats stop.

    A node without a Lease in ``kube-node-lease`` is judged by its posted conditions alone. Taints that keep pods from
    coming follow the conditions at once; those that drive pods away follow when all nodes are looked at.

    Args:
        client: the API.
        informers: shared ones.
        grace_seconds: how long a node may go without a heartbeat: a renewed Lease or a posted status.
        monitor_seconds: how often all nodes are looked at.
    """

    def __init__(
        self, client: ApiClient, informers: Informers, grace_seconds: float, monitor_seconds: float = 5.0
    ) -> None:
        self._client = client
        self._grace_seconds, self._monitor_seconds = grace_seconds, monitor_seconds
        self._looked_at: set[str] = set()
        self._unmarked: set[str] = set()
        self._posted: dict[str, str] = {}
        self._registered: dict[str, Object] = {}
        self._nodes, self._pods = informers.of(NODES), informers.of(PODS)
        self._renewed: dict[str, tuple[str, float]] = {}
        self._recorder = EventRecorder(client, "node-controller")
        self._queue = WorkQueue(self.reconcile, name="node-controller")
        self._nodes.add_handler(self._node_changed)
        informers.of(LEASES).add_handler(self._lease_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._monitor())

    async def _monitor(self) -> None:
        while True:
            await asyncio.sleep(self._monitor_seconds)
            for key in self._nodes.objects:
                self._looked_at.add(key[1])
                self._queue.add(key)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        name, stamp = new["metadata"]["name"], (condition_of(new, "Ready") or {}).get("lastHeartbeatTime")
        if stamp and self._posted.get(name) != stamp:
            self._posted[name] = stamp
            self._heard_of(name, self._renewed.get(name, ("", 0.0))[0])
        self._queue.add(key_of(new))

    def _heard_of(self, name: str, renewed: str) -> None:
        """A node gave a sign of life. The time of the observation counts, not a stamp: clocks may differ."""
        if renewed:
            self._renewed[name] = (renewed, time.monotonic())
            self._queue.add_after(("", name), self._grace_seconds)

    def _lease_changed(self, old: Object | None, new: Object | None) -> None:
        lease = new or old
        if lease is None or lease["metadata"].get("namespace") != _LEASE_NAMESPACE:
            return
        name = lease["metadata"]["name"]
        if new is None:
            return
        stamp = str((new.get("spec") or {}).get("renewTime"))
        known = self._renewed.get(name)
        if known is None or known[0] != stamp:
            self._heard_of(name, stamp)

    async def reconcile(self, key: Key) -> None:
        """Bring one node's conditions, pods and taints in line."""
        node = self._nodes.get(*key)
        if node is None:
            self._forget(key[1])
            return
        if key[1] not in self._registered:
            self._registered[key[1]] = _reference(node)
            self._tell(key[1], "RegisteredNode", f"Registered Node {key[1]} in Controller")
        if TTL not in annotations_of(node):
            node = await self._client.patch(NODES, key[1], {"metadata": {"annotations": {TTL: "0"}}})
        if key[1] in self._renewed:
            left = self._renewed[key[1]][1] + self._grace_seconds - time.monotonic()
            if left > 0:
                self._queue.add_after(key, left)
            elif readiness(node) not in (None, "Unknown"):
                node = await self._lose(node)
        if key[1] in self._unmarked:
            await self._mark_pods(key[1])
            self._unmarked.discard(key[1])
        if key[1] in self._looked_at:
            nodes = {**self._nodes.objects, key: node}  # the cache may not know yet that this one is lost
            node = await self._taint(node, evict_taints(node, evict=evicts(nodes.values())))
            self._looked_at.discard(key[1])
        await self._taint(node, schedule_taints(node))

    def _tell(self, name: str, reason: str, what: str) -> None:
        self._recorder.event(self._registered[name], "Normal", reason, f"Node {name} event: {what}")

    def _forget(self, name: str) -> None:
        if name in self._registered:
            self._tell(name, "RemovingNode", f"Removing Node {name} from Controller")
            del self._registered[name]
        for known in (self._renewed, self._posted):
            known.pop(name, None)
        self._looked_at.discard(name)
        self._unmarked.discard(name)

    async def _taint(self, node: Object, taints: list[dict[str, Any]]) -> Object:
        if taints == ((node.get("spec") or {}).get("taints") or []):
            return node
        version = node["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": taints or None}}
        return await self._client.patch(NODES, node["metadata"]["name"], patch)

    async def _lose(self, node: Object) -> Object:
        name = node["metadata"]["name"]
        patch = {"status": {"conditions": silent(node)}}
        lost = await self._client.patch(NODES, name, patch, subresource="status")
        self._looked_at.add(name)
        if readiness(node) != "True":
            return lost  # it said itself that it is not ready: nothing new for its pods
        self._unmarked.add(name)
        text = f"Node {name} status is now: NodeNotReady"
        self._recorder.event(_reference(node), "Normal", "NodeNotReady", text)
        return lost

    async def _mark_pods(self, node: str) -> None:
        for pod in self._pods.index(node_name_of).of(node):
            if (conditions := not_ready(pod)) is None:
                continue
            namespace, name = key_of(pod)
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            try:
                await self._client.patch(
                    PODS, name, {"status": {"conditions": conditions}}, namespace, subresource="status"
                )
            except ApiError as error:
                if error.code != 404:
                    raise


class TaintEvictionController:
    """Watches pods and nodes; deletes pods that do not tolerate a NoExecute taint (any longer)."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._nodes, self._pods = informers.of(NODES), informers.of(PODS)
        self._waiting: dict[Key, float] = {}
        self._recorder = EventRecorder(client, "taint-eviction-controller")
        self._queue = WorkQueue(self.reconcile, name="taint-eviction-controller")
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or _taints(old) == _taints(new):
            return
        for pod in self._pods.index(node_name_of).of(new["metadata"]["name"]):
            self._queue.add(key_of(pod))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._waiting.pop(key_of(old), None)
        elif old is None or old["spec"] != new["spec"]:
            self._queue.add(key_of(new))

    async def reconcile(self, key: Key) -> None:
        """Evict one pod when its time has come."""
        pod = self._pods.get(*key)
        if pod is None or is_deleted(pod) or is_finished(pod):
            self._waiting.pop(key, None)
            return
        node = self._nodes.get("", pod["spec"].get("nodeName") or "")
        tolerated = seconds_tolerated(pod, node) if node is not None else None
        if tolerated is None:
            if self._waiting.pop(key, None) is not None:
                self._tell(pod, "Cancelling deletion of Pod")
            return
        # Counted from when the taint was seen: its own time is known to the second only.
        left = self._waiting.setdefault(key, time.monotonic()) + tolerated - time.monotonic()
        if left > 0:
            self._queue.add_after(key, left)
        else:
            await self._evict(key, pod)

    async def _evict(self, key: Key, pod: Object) -> None:
        self._tell(pod, "Marking for deletion Pod")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastProbeTime": None,
            "lastTransitionTime": now(),
            "observedGeneration": pod["metadata"].get("generation", 1),
        }
        others = [c for c in (pod.get("status") or {}).get("conditions") or [] if c["type"] != "DisruptionTarget"]
        patch = {"status": {"conditions": [*others, condition]}}
        try:
            await self._client.patch(PODS, key[1], patch, key[0], subresource="status")
            await self._client.delete(PODS, key[1], key[0], uid=pod["metadata"]["uid"])
        except ApiError as error:
            if error.code != 404:
                raise
        self._waiting.pop(key, None)

    def _tell(self, pod: Object, what: str) -> None:
        namespace, name = key_of(pod)
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name,
            "namespace": namespace,
            "uid": pod["metadata"]["uid"],
        }
        self._recorder.event(reference, "Normal", "TaintManagerEviction", f"{what} {namespace}/{name}")


def _reference(node: Object) -> Object:
    metadata = node["metadata"]
    return {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}


def _taints(node: Object | None) -> object:
    return (node.get("spec") or {}).get("taints") if node else None
