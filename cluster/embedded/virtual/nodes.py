"""All virtual nodes of a cluster in one component: their Nodes and Leases, and the status of the pods bound to them.

One informer, one work queue and one task serve every node, so a thousand pods cost a thousand writes and nothing else.
Their pods have no processes: no logs, no events of a kubelet; they cannot fail, and end only by deletion.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.config import VirtualNodesConfig
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import is_deleted, key_of
from cluster.embedded.node import podspec
from cluster.embedded.node.kubelet import Kubelet
from cluster.embedded.node.registration import RENEW_SECONDS, REPORT_SECONDS, NodeRegistration
from cluster.embedded.node.settings import NodeSettings, PodNetwork
from cluster.embedded.resources import NODES, PODS, Object
from cluster.embedded.virtual.pods import creating_status, is_reported, running_status, runs

log = logging.getLogger(__name__)

LABEL = "type"
"""The label that says ``virtual``, for node selectors."""
_BATCH = 50
_NO_MACHINE = Path("/nonexistent")


class VirtualNodes:
    """Plays the kubelets of nodes that do not exist.

    Args:
        client: the API.
        config: how many nodes, their capacity and timing.
        next_address: gives each node its address.
        network: hands out pod addresses.
    """

    def __init__(
        self, client: ApiClient, config: VirtualNodesConfig, next_address: Callable[[], str], network: PodNetwork
    ) -> None:
        self._client = client
        self._network = network
        self._ready_after_seconds = config.ready_after_seconds
        settings = [_settings(config, number, next_address()) for number in range(config.count)]
        self._addresses = {node.name: node.address for node in settings}
        self._registrations = {node.name: NodeRegistration(client, node, Kubelet(node.address)) for node in settings}
        self._informers = Informers(client)
        self._pods = self._informers.of(PODS)
        self._due: dict[str, float] = {}
        self._queue = WorkQueue(self._reconcile, name="virtual-nodes", batch=_BATCH)
        self._pods.add_handler(self._pod_changed)
        self._informers.of(NODES).add_handler(self._node_changed)
        self._capacities = WorkQueue(self._follow_capacity, name="virtual-nodes")

    async def run(self) -> None:
        """Register the nodes and run their pods until cancelled."""
        for registration in self._registrations.values():
            await registration.register()
            await registration.renew()
            await asyncio.sleep(0)  # a thousand nodes must not keep everything else waiting
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._queue.run())
            group.create_task(self._capacities.run())
            group.create_task(self._heartbeats())

    async def _heartbeats(self) -> None:
        """Renew one Lease after the other, spread over the period; report each status every 5 minutes."""
        names = list(self._registrations)
        reported = dict.fromkeys(names, time.monotonic())
        while True:
            for name in names:
                await asyncio.sleep(RENEW_SECONDS / len(names))
                try:
                    await self._registrations[name].renew()
                    if time.monotonic() - reported[name] >= REPORT_SECONDS:
                        await self._registrations[name].report()
                        reported[name] = time.monotonic()
                except ApiError as error:
                    log.warning("heartbeat of node %s: %s", name, error)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or new["metadata"]["name"] not in self._registrations:
            return
        if old is None or old.get("status", {}).get("capacity") != new.get("status", {}).get("capacity"):
            self._capacities.add(key_of(new))

    async def _follow_capacity(self, key: Key) -> None:
        node = self._informers.of(NODES).get(*key)
        if node is not None:
            await self._registrations[key[1]].follow_capacity(node)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or podspec.uid(old) != podspec.uid(new)) and self._is_mine(old):
            self._network.release(podspec.uid(old))
            self._due.pop(podspec.uid(old), None)
        if new is not None and self._is_mine(new) and (is_deleted(new) or not runs(new)):
            self._queue.add(key_of(new))

    def _is_mine(self, pod: Object) -> bool:
        return pod["spec"].get("nodeName") in self._addresses

    async def _reconcile(self, key: Key) -> None:
        """Take the next step of one pod: creating, running, gone."""
        pod = self._pods.get(*key)
        if pod is None or not self._is_mine(pod):
            return
        if is_deleted(pod):
            await self._client.delete(PODS, key[1], key[0], grace_period_seconds=0, uid=podspec.uid(pod))
        elif podspec.is_finished(pod) or runs(pod):
            return
        elif not is_reported(pod):
            self._due[podspec.uid(pod)] = time.monotonic() + self._ready_after_seconds
            await self._report(key, pod, creating_status(pod, self._host_ip(pod)))
        elif (left := self._due.get(podspec.uid(pod), 0.0) - time.monotonic()) > 0:
            self._queue.add_after(key, left)
        else:
            self._due.pop(podspec.uid(pod), None)
            address = self._host_ip(pod) if pod["spec"].get("hostNetwork") else self._network.allocate(podspec.uid(pod))
            await self._report(key, pod, running_status(pod, self._host_ip(pod), address))

    async def _report(self, key: Key, pod: Object, status: Object) -> None:
        """Write a status for the pod with this uid; one that is gone, or changed meanwhile, is looked at again."""
        patch = {"metadata": {"uid": podspec.uid(pod)}, "status": status}
        await self._client.patch(PODS, key[1], patch, key[0], subresource="status")

    def _host_ip(self, pod: Object) -> str:
        return self._addresses[pod["spec"]["nodeName"]]


def _settings(config: VirtualNodesConfig, number: int, address: str) -> NodeSettings:
    capacity = {"cpu": config.cpu, "memory": config.memory, "pods": config.pods, "ephemeral-storage": "100Gi"}
    if config.gpus:
        capacity["nvidia.com/gpu"] = str(config.gpus)
    name = f"{config.name_prefix}{number}"
    return NodeSettings(name=name, address=address, root=_NO_MACHINE, capacity=capacity, labels={LABEL: "virtual"})
