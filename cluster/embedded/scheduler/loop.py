"""The scheduling loop: pods that wait, the cluster as it will be, one binding at a time."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.events import SeriesRecorder
from cluster.embedded.informer import Informers, Key
from cluster.embedded.meta import condition_of, is_deleted, key_of, labels_of, now
from cluster.embedded.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PODS, Object
from cluster.embedded.scheduler.filters import NodeState, claim_problem, failure_message, refusals
from cluster.embedded.scheduler.scores import best

log = logging.getLogger(__name__)

NAME = "default-scheduler"
_RETRY_SECONDS = 1.0


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


def node_states(nodes: Iterable[Object], pods: Iterable[Object], assumed: dict[str, str]) -> list[NodeState]:
    """The nodes with the pods that count on them, by name.

    Args:
        nodes: all nodes.
        pods: all pods; one counts until its object is gone or it has finished.
        assumed: uid to node of pods that were bound but do not show it yet.
    """
    states = {node["metadata"]["name"]: NodeState(node) for node in nodes}
    for pod in pods:
        name = pod["spec"].get("nodeName") or assumed.get(pod["metadata"]["uid"])
        if name in states and not finished(pod):
            states[name].add(pod)
    return [states[name] for name in sorted(states)]


class Scheduler:
    """Watches pods and nodes; binds pods, or says why it cannot."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._informers = Informers(client)
        self._pods, self._nodes = self._informers.of(PODS), self._informers.of(NODES)
        self._claims = self._informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._recorder = SeriesRecorder(client, NAME, socket.gethostname())
        self._active: dict[Key, None] = {}
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
                    await self._schedule_next()
                    await asyncio.sleep(0)  # let the informers see the binding
                self._wake.clear()
                await self._wake.wait()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        if pod is None:
            return
        key, uid = key_of(pod), pod["metadata"]["uid"]
        if new is not None and waits(new):
            if uid not in self._assumed and (old is None or _asks_anew(old, new)):
                self._activate(key)
            return
        self._active.pop(key, None)
        self._parked.pop(key, None)
        self._assumed.pop(uid, None)
        held = old is not None and bool(old["spec"].get("nodeName")) and not finished(old)
        if held and (new is None or finished(new)):
            self._activate_parked()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or _offers(old) != _offers(new)):
            self._activate_parked()

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._activate_parked()

    def _activate(self, key: Key) -> None:
        self._parked.pop(key, None)
        self._active[key] = None
        self._wake.set()

    def _activate_parked(self) -> None:
        for key in list(self._parked):
            self._activate(key)

    async def _schedule_next(self) -> None:
        """Place the waiting pod of the highest priority, the oldest first."""
        waiting = [(key, pod) for key in self._active if (pod := self._pods.get(*key)) is not None]
        if not waiting:
            self._active.clear()
            return
        # min keeps the order of arrival among pods of the same second.
        key, pod = min(waiting, key=lambda item: _rank(item[1]))
        del self._active[key]
        if not waits(pod):
            return
        try:
            await self._schedule(key, pod)
        except ApiError as error:
            self._assumed.pop(pod["metadata"]["uid"], None)
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
        states = node_states(self._nodes.objects.values(), self._pods.objects.values(), self._assumed)
        claims = {claim["metadata"]["name"]: claim for claim in self._claims.in_namespace(key[0])}
        problem = claim_problem(pod, claims)
        if problem is not None and states:
            await self._park(key, pod, f"0/{len(states)} nodes are available: {problem}. not found")
            return
        refused = [refusals(pod, state) for state in states]
        fitting = [state for state, reasons in zip(states, refused, strict=True) if not reasons]
        if fitting:
            await self._bind(pod, best(pod, fitting).name)
        else:
            await self._park(key, pod, failure_message(refused))

    async def _bind(self, pod: Object, node: str) -> None:
        namespace, name = key_of(pod)
        uid = pod["metadata"]["uid"]
        self._assumed[uid] = node
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


def _rank(pod: Object) -> tuple[int, str]:
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
