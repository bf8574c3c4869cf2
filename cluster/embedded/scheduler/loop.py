"""The scheduling loop: pods that wait, the cluster as it will be, one binding at a time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import socket
from collections.abc import Iterable

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.events import SeriesRecorder
from cluster.embedded.informer import Informers, Key
from cluster.embedded.meta import condition_of, is_deleted, key_of, labels_of, now
from cluster.embedded.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PODS, Object
from cluster.embedded.scheduler.filters import Demand, NodeState, claim_problem, failure_message, refused
from cluster.embedded.scheduler.scores import best_for
from cluster.embedded.scheduler.snapshot import Snapshot

log = logging.getLogger(__name__)

NAME = "default-scheduler"
_RETRY_SECONDS = 1.0
_BATCH = 16
_Rank = tuple[int, str]


def waits(pod: Object) -> bool:
    """Whether this scheduler has to place the pod."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not is_deleted(pod)
        and not finished(pod)
        and spec.get("schedulerName", NAME) == NAME
        and not spec.get("schedulingGates")
    )


def finished(pod: Object) -> bool:
    """Succeeded or Failed: it holds nothing any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def node_states(nodes: Iterable[Object], pods: Iterable[Object]) -> list[NodeState]:
    """The nodes, by name, with the pods that count on them: one counts until its object is gone or it has finished."""
    snapshot = Snapshot()
    for node in nodes:
        snapshot.set_node(node)
    for pod in pods:
        if (name := pod["spec"].get("nodeName")) and not finished(pod):
            snapshot.place(pod, name)
    return sorted(snapshot.states, key=lambda state: state.name)


class Scheduler:
    """Watches pods and nodes; binds pods, or says why it cannot."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._informers = Informers(client)
        self._pods, self._nodes = self._informers.of(PODS), self._informers.of(NODES)
        self._claims = self._informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._recorder = SeriesRecorder(client, NAME, socket.gethostname())
        self._snapshot = Snapshot()
        self._active: dict[Key, int] = {}
        self._ranked: list[tuple[_Rank, int, Key]] = []
        self._arrivals = itertools.count()
        self._parked: dict[Key, None] = {}
        self._assumed: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)
        self._claims.add_handler(self._claim_changed)

    async def run(self) -> None:
        """Schedule until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            await self._informers.synced()
            while True:
                while self._active:
                    for _ in range(_BATCH):
                        await self._schedule_next()
                    await asyncio.sleep(0)  # let the informers see the bindings
                self._wake.clear()
                await self._wake.wait()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        if pod is None:
            return
        self._count(old, new)
        key, uid = key_of(pod), pod["metadata"]["uid"]
        if new is not None and waits(new):
            if old is not None and old["metadata"]["uid"] != uid:
                self._active.pop(key, None)
            if uid not in self._assumed and (old is None or _asks_anew(old, new)):
                self._activate(key)
            return
        self._active.pop(key, None)
        self._parked.pop(key, None)
        self._assumed.pop(uid, None)
        held = old is not None and bool(old["spec"].get("nodeName")) and not finished(old)
        if held and (new is None or finished(new)):
            self._activate_parked()

    def _count(self, old: Object | None, new: Object | None) -> None:
        """Keep the snapshot true; a pod that is about to be bound counts already."""
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            self._snapshot.remove(old["metadata"]["uid"])
        if new is None:
            return
        uid, node = new["metadata"]["uid"], new["spec"].get("nodeName")
        if finished(new) or not (node or (uid in self._assumed and waits(new))):
            self._snapshot.remove(uid)
        elif node:
            try:
                self._snapshot.place(new, node)
            except ValueError:
                log.exception("scheduler: what %s/%s asks for does not count", *key_of(new))

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._snapshot.set_node(new)
        elif old is not None:
            self._snapshot.remove_node(old["metadata"]["name"])
        if new is not None and (old is None or _offers(old) != _offers(new)):
            self._activate_parked()

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._activate_parked()

    def _activate(self, key: Key) -> None:
        self._parked.pop(key, None)
        pod = self._pods.get(*key)
        if pod is not None and key not in self._active:
            number = self._active[key] = next(self._arrivals)
            heapq.heappush(self._ranked, (_rank(pod), number, key))
        self._wake.set()

    def _activate_parked(self) -> None:
        for key in list(self._parked):
            self._activate(key)

    async def _schedule_next(self) -> None:
        """Place the waiting pod of the highest priority, the oldest first."""
        pod = None
        while self._ranked and pod is None:
            _, number, key = heapq.heappop(self._ranked)
            if self._active.get(key) == number:  # else it has left the queue, or queues anew
                del self._active[key]
                pod = self._pods.get(*key)
        if pod is None or not waits(pod):
            return
        try:
            await self._schedule(key, pod)
        except ApiError as error:
            self._assumed.pop(pod["metadata"]["uid"], None)
            self._snapshot.remove(pod["metadata"]["uid"])
            if error.code != 404:
                log.warning("scheduler: %s/%s: %s", *key, error)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._try_again, key)
        except ValueError:
            # One pod that cannot be understood must not stop the others; it is tried again when it changes.
            log.exception("scheduler: %s/%s", *key)

    def _try_again(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is not None and waits(pod):
            self._activate(key)

    async def _schedule(self, key: Key, pod: Object) -> None:
        states = self._snapshot.states
        claims = {claim["metadata"]["name"]: claim for claim in self._claims.in_namespace(key[0])}
        problem = claim_problem(pod, claims)
        if problem is not None and states:
            await self._park(key, pod, f"0/{len(states)} nodes are available: {problem}. not found")
            return
        demand = Demand.of(pod)
        reasons = [refused(demand, state) for state in states]
        fitting = [state for state, refusing in zip(states, reasons, strict=True) if not refusing]
        if fitting:
            await self._bind(pod, best_for(demand, fitting).name)
        else:
            await self._park(key, pod, failure_message(reasons))

    async def _bind(self, pod: Object, node: str) -> None:
        namespace, name = key_of(pod)
        uid = pod["metadata"]["uid"]
        self._assumed[uid] = node
        self._snapshot.place(pod, node)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._client.create(PODS, binding, subresource="binding")
        text = f"Successfully assigned {namespace}/{name} to {node}"
        self._recorder.event(pod, "Normal", "Scheduled", text, action="Binding")

    async def _park(self, key: Key, pod: Object, message: str) -> None:
        self._parked[key] = None
        self._recorder.event(pod, "Warning", "FailedScheduling", message, action="Scheduling")
        current = condition_of(pod, "PodScheduled")
        wanted = {"status": "False", "reason": "Unschedulable", "message": message}
        if current is not None and wanted.items() <= current.items():
            return
        same = current is not None and current["status"] == "False"
        condition = {
            "type": "PodScheduled",
            **wanted,
            "lastProbeTime": None,
            "lastTransitionTime": current["lastTransitionTime"] if same and current else now(),
            "observedGeneration": pod["metadata"].get("generation", 1),
        }
        others = [c for c in (pod.get("status") or {}).get("conditions") or [] if c["type"] != "PodScheduled"]
        patch = {"status": {"conditions": [*others, condition]}}
        await self._client.patch(PODS, key[1], patch, key[0], subresource="status")


def _rank(pod: Object) -> _Rank:
    """Smaller is first: the priority, then the age. Among pods of the same second the order of arrival decides."""
    return -int(pod["spec"].get("priority") or 0), pod["metadata"].get("creationTimestamp", "")


def _asks_anew(old: Object, new: Object) -> bool:
    """Whether a pod that waits changed in what it asks for (its status does not matter)."""
    return (
        old["metadata"]["uid"] != new["metadata"]["uid"]
        or old["spec"] != new["spec"]
        or labels_of(old) != labels_of(new)
    )


def _offers(node: Object) -> tuple[object, ...]:
    """What of a node matters to pods that wait; heartbeats do not."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return (spec.get("unschedulable"), spec.get("taints"), labels_of(node), status.get("allocatable"))
