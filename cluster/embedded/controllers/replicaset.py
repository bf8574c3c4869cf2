"""Keeps as many pods of a ReplicaSet as it wants."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.common import (
    controlled_by,
    controller_of,
    owner_reference,
    pod_active,
    pod_available,
    pod_ready,
    seconds_since,
    terminating,
)
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.resources import PODS, REPLICA_SETS, Object

_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def deletion_rank(pod: Object) -> tuple[Any, ...]:
    """The order in which pods of a ReplicaSet die: the lowest first.

    Unassigned before assigned, pending before running, not ready before ready, lower deletion cost, ready for a shorter
    time, more restarts, newer. Source: Kubernetes, "ReplicaSet: scaling down".
    """
    status = pod.get("status", {})
    ready = next((c for c in status.get("conditions") or [] if c["type"] == "Ready" and c["status"] == "True"), None)
    restarts = max((s.get("restartCount", 0) for s in status.get("containerStatuses") or []), default=0)
    cost = (pod["metadata"].get("annotations") or {}).get(_DELETION_COST, "0")
    return (
        1 if pod.get("spec", {}).get("nodeName") else 0,
        _PHASE_RANK.get(status.get("phase", "Pending"), 2),
        1 if ready else 0,
        int(cost) if cost.lstrip("-").isdigit() else 0,
        seconds_since(ready.get("lastTransitionTime")) if ready else 0.0,
        -restarts,
        seconds_since(pod["metadata"].get("creationTimestamp")),
    )


def replica_status(replica_set: Object, pods: list[Object]) -> dict[str, Any]:
    """The status of a ReplicaSet, from its pods. Counts of zero are left out, as the real controller's JSON does."""
    min_ready = replica_set["spec"].get("minReadySeconds", 0)
    labels = replica_set["spec"].get("template", {}).get("metadata", {}).get("labels") or {}
    active = [pod for pod in pods if pod_active(pod)]
    counts = {
        "fullyLabeledReplicas": sum(labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active),
        "readyReplicas": sum(map(pod_ready, active)),
        "availableReplicas": sum(pod_available(pod, min_ready) for pod in active),
    }
    return {
        "replicas": len(active),
        **{key: value for key, value in counts.items() if value},
        "terminatingReplicas": sum(map(terminating, pods)),
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }


class ReplicaSetController:
    """Creates and deletes pods, and reports how many there are."""

    def __init__(self, client: ApiClient, replica_sets: Informer, pods: Informer) -> None:
        self._client = client
        self._replica_sets = replica_sets
        self._pods = pods
        self._recorder = EventRecorder(client, "replicaset-controller")
        self._queue = WorkQueue(self._reconcile, name="replicaset")
        # uids of pods whose creation (or deletion) the cache has yet to show, by ReplicaSet
        self._creating: dict[Key, set[str]] = {}
        self._deleting: dict[Key, set[str]] = {}
        replica_sets.add_handler(self._on_replica_set)
        pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(self._replica_sets.synced.wait(), self._pods.synced.wait())
        await self._queue.run()

    def _on_replica_set(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        if new is None:
            self._creating.pop(key, None)
            self._deleting.pop(key, None)
        self._queue.add(key)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        owner = controller_of(pod)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        key = (pod["metadata"]["namespace"], owner["name"])
        uid = pod["metadata"]["uid"]
        self._creating.get(key, set()).discard(uid)
        if new is None or terminating(new):
            self._deleting.get(key, set()).discard(uid)
        self._queue.add(key)

    async def _reconcile(self, key: Key) -> None:
        replica_set = self._replica_sets.get(*key)
        if replica_set is None:
            return
        pods = controlled_by(self._pods.in_namespace(key[0]), replica_set)
        if not terminating(replica_set) and not self._creating.get(key) and not self._deleting.get(key):
            await self._scale(key, replica_set, [pod for pod in pods if pod_active(pod)])
        await self._report(key, replica_set, pods)

    async def _scale(self, key: Key, replica_set: Object, active: list[Object]) -> None:
        missing = replica_set["spec"].get("replicas", 1) - len(active)
        for _ in range(missing):
            await self._create(key, replica_set)
        for pod in sorted(active, key=deletion_rank)[: max(0, -missing)]:
            await self._delete(key, replica_set, pod)

    async def _create(self, key: Key, replica_set: Object) -> None:
        template = replica_set["spec"]["template"]
        metadata = {
            k: v for k, v in (template.get("metadata") or {}).items() if k in ("labels", "annotations", "finalizers")
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **metadata,
                "generateName": f"{key[1]}-",
                "namespace": key[0],
                "ownerReferences": [owner_reference(replica_set)],
            },
            "spec": template["spec"],
        }
        try:
            created = await self._client.create(PODS, pod)
        except ApiError as error:
            self._recorder.event(replica_set, "Warning", "FailedCreate", f"Error creating: {error.problem}")
            raise
        name, uid = created["metadata"]["name"], created["metadata"]["uid"]
        if self._pods.get(key[0], name) is None:
            self._creating.setdefault(key, set()).add(uid)
        self._recorder.event(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {name}")

    async def _delete(self, key: Key, replica_set: Object, pod: Object) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        try:
            await self._client.delete(PODS, name, key[0], uid=uid)
        except ApiError as error:
            if error.code != 404:
                raise
            return
        seen = self._pods.get(key[0], name)
        if seen is not None and not terminating(seen):
            self._deleting.setdefault(key, set()).add(uid)
        self._recorder.event(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    async def _report(self, key: Key, replica_set: Object, pods: list[Object]) -> None:
        status = replica_status(replica_set, pods)
        if status != {k: v for k, v in replica_set.get("status", {}).items() if k != "conditions"}:
            await self._client.update(REPLICA_SETS, {**replica_set, "status": status}, subresource="status")
        min_ready = replica_set["spec"].get("minReadySeconds", 0)
        if min_ready and status.get("readyReplicas", 0) != status.get("availableReplicas", 0):
            self._queue.add_after(key, 1.0)
