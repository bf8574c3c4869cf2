"""The Node object: registration, labels, conditions, and the Lease that says the node is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.node.kubelet import Kubelet
from cluster.embedded.node.settings import KUBELET_VERSION, NodeSettings
from cluster.embedded.node.status import wall_clock
from cluster.embedded.resources import LEASES, NODES, Object

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
_LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
REPORT_SECONDS = 300.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_HEALTH = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
_SHUTTING_DOWN = ("Ready", "False", "KubeletNotReady", "node is shutting down")


class NodeRegistration:
    """Keeps one Node object and its Lease.

    Attributes:
        shutting_down: whether the machine is about to be switched off, which the node's Ready condition tells.
    """

    def __init__(self, client: ApiClient, settings: NodeSettings, kubelet: Kubelet) -> None:
        self._client = client
        self._settings = settings
        self._kubelet = kubelet
        self._boot_id = str(uuid.uuid4())
        self.shutting_down = False

    async def register(self) -> None:
        """Create the Node, or bring labels and status of the existing one up to date."""
        node = {
            "metadata": {"name": self._settings.name, "labels": self._labels()},
            "spec": {"taints": [dict(taint) for taint in self._settings.taints]} if self._settings.taints else {},
        }
        try:
            await self._client.create(NODES, node)
        except ApiError as error:
            if error.code != 409:
                raise
            await self._client.patch(NODES, self._settings.name, {"metadata": {"labels": self._labels()}})
        await self.report()

    async def report(self) -> None:
        """Write the node's status; what others put into the capacity stays, and becomes allocatable."""
        node = await self._client.get(NODES, self._settings.name)
        before = node.get("status") or {}
        capacity = {**(before.get("capacity") or {}), **self._own_capacity(before)}
        status = {
            "capacity": capacity,
            "allocatable": dict(capacity),
            "conditions": _conditions(before.get("conditions") or [], shutting_down=self.shutting_down),
            "addresses": [
                {"type": "InternalIP", "address": self._settings.address},
                {"type": "Hostname", "address": self._settings.name},
            ],
            "nodeInfo": self._node_info(),
        }
        if self._settings.kubelet_port:
            status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": self._settings.kubelet_port}}
        await self._client.patch(NODES, self._settings.name, {"status": status}, subresource="status")

    async def follow_capacity(self, node: Object) -> None:
        """Make allocatable what somebody changed in the capacity."""
        status = node.get("status") or {}
        if status.get("capacity") and status.get("capacity") != status.get("allocatable"):
            await self.report()

    async def heartbeat(self) -> None:
        """Renew the Lease every 10 s and report the status every 5 minutes, until cancelled."""
        loop = asyncio.get_running_loop()
        reported = loop.time()
        while True:
            await self._kubelet.wait()
            try:
                await self.renew()
                if loop.time() - reported >= REPORT_SECONDS:
                    await self.report()
                    reported = loop.time()
            except ApiError as error:
                log.warning("heartbeat of node %s: %s", self._settings.name, error)
            await asyncio.sleep(RENEW_SECONDS)

    async def renew(self) -> None:
        """Say that the node is alive: write the time into its Lease."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        name = self._settings.name
        try:
            await self._client.patch(LEASES, name, {"spec": {"renewTime": now}}, LEASE_NAMESPACE)
        except ApiError as error:
            if error.code != 404:
                raise
            spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
            lease = {"metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec}
            await self._client.create(LEASES, lease)

    def _own_capacity(self, before: Object) -> dict[str, str]:
        """The capacity from the settings; extended resources only once, since a person may change them later."""
        known = before.get("capacity") or {}
        return {key: value for key, value in self._settings.capacity.items() if "/" not in key or key not in known}

    def _labels(self) -> Mapping[str, str]:
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        return {
            "kubernetes.io/hostname": self._settings.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": architecture,
            **self._settings.labels,
        }

    def _node_info(self) -> Object:
        uname = os.uname()
        return {
            "architecture": _ARCHITECTURES.get(uname.machine, uname.machine),
            "bootID": self._boot_id,
            "containerRuntimeVersion": "process://embedded",
            "kernelVersion": uname.release,
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "machineID": uuid.uuid5(uuid.NAMESPACE_DNS, self._settings.name).hex,
            "operatingSystem": "linux",
            "osImage": platform.platform(),
            "systemUUID": str(uuid.uuid5(uuid.NAMESPACE_DNS, self._settings.name)),
        }


def _conditions(before: list[Object], *, shutting_down: bool) -> list[Object]:
    known = {condition["type"]: condition for condition in before}
    health = (*_HEALTH[:-1], _SHUTTING_DOWN) if shutting_down else _HEALTH
    mine = {kind for kind, *_ in health}
    return [
        *(condition for condition in before if condition["type"] not in mine),
        *(_condition(known.get(kind), kind, status, reason, text) for kind, status, reason, text in health),
    ]


def _condition(before: Object | None, kind: str, status: str, reason: str, message: str) -> Object:
    now = wall_clock()
    kept = before is not None and before.get("status") == status
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": before["lastTransitionTime"] if kept and before else now,
        "reason": reason,
        "message": message,
    }
