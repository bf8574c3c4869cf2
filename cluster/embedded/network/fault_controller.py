"""Puts NetworkFault objects into effect, takes them back, and says in their status what they do."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster.embedded.client import ApiClient
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.meta import condition_of, is_deleted, key_of, now, seconds_since
from cluster.embedded.network.fault_spec import InvalidFault, NetworkFault, parse
from cluster.embedded.network.paths import Paths
from cluster.embedded.resources import NETWORK_FAULTS, Object


class FaultController:
    """A NetworkFault is in effect from its acceptance until it is deleted or its time is over."""

    def __init__(self, client: ApiClient, faults: Informer, services: Informer, paths: Paths) -> None:
        self._client = client
        self._faults = faults
        self._services = services
        self._paths = paths
        self._queue = WorkQueue(self._reconcile, name="network-fault")
        faults.add_handler(self._on_fault)
        services.add_handler(self._on_service)
        paths.on_change(self._all_again)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(self._faults.synced.wait(), self._services.synced.wait())
        await self._queue.run()

    def _on_fault(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        self._queue.add(key_of(obj))

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            self._all_again()

    def _all_again(self) -> None:
        for key in self._faults.objects:
            self._queue.add(key)

    async def _reconcile(self, key: Key) -> None:
        obj = self._faults.get(*key)
        if obj is None or is_deleted(obj):
            self._paths.set_fault(key, None)
            return
        try:
            fault = parse(obj.get("spec"), key[0])
        except InvalidFault as invalid:
            self._paths.set_fault(key, None)
            await self._report(obj, False, [], ("False", "Invalid", str(invalid)), ("Invalid", "the spec is invalid"))
            return
        accepted = ("True", "Valid", "the spec is valid")
        left = self._seconds_left(obj, fault)
        if left is not None and left <= 0:
            self._paths.set_fault(key, None)
            await self._report(obj, False, [], accepted, ("Expired", "ttlSeconds are over"))
            return
        if left is not None:
            self._queue.add_after(key, left)
        self._paths.set_fault(key, fault)
        affected = self._affected(fault)
        effect = ("Applied", "") if affected else ("NoTarget", "there is no such Service or pod at the moment")
        await self._report(obj, bool(affected), affected, accepted, effect)

    def _seconds_left(self, obj: Object, fault: NetworkFault) -> float | None:
        if fault.ttl_seconds is None:
            return None
        return fault.ttl_seconds - seconds_since(obj["metadata"]["creationTimestamp"])

    def _affected(self, fault: NetworkFault) -> list[str]:
        """What the fault bears on, as ``service/NAME`` and ``pod/NAME``."""
        if fault.service is not None:
            exists = self._services.get(fault.namespace, fault.service) is not None
            return [f"service/{fault.service}"] if exists else []
        return sorted(f"pod/{pod.name}" for pod in self._paths.pods() if fault.targets(pod))

    async def _report(
        self,
        obj: Object,
        active: bool,
        affected: list[str],
        accepted: tuple[str, str, str],
        effect: tuple[str, str],
    ) -> None:
        status = {
            "active": active,
            "affected": affected,
            "observedGeneration": obj["metadata"].get("generation", 1),
            "conditions": [
                _condition(obj, "Accepted", *accepted),
                _condition(obj, "Active", str(active), *effect),
            ],
        }
        if obj.get("status") != status:
            namespace, name = key_of(obj)
            await self._client.patch(NETWORK_FAULTS, name, {"status": status}, namespace, subresource="status")


def _condition(obj: Object, kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    before = condition_of(obj, kind)
    unchanged = before is not None and before["status"] == status
    since = before["lastTransitionTime"] if unchanged and before else now()
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
