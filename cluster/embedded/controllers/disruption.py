"""The disruption controller: how many pods a PodDisruptionBudget allows to be evicted now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cluster.embedded.client import ApiClient
from cluster.embedded.controllers.pods import is_ready
from cluster.embedded.controllers.replicaset import wanted
from cluster.embedded.controllers.rollout import scaled
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import (
    condition_of,
    controller_of,
    is_deleted,
    key_of,
    labels_of,
    matches_selector,
    now,
    seconds_since,
)
from cluster.embedded.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, Object

_EVICTION_SEEN_WITHIN_SECONDS = 120.0


class DisruptionController:
    """Watches budgets, pods and their owners; writes the budgets' status."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._budgets, self._pods = informers.of(POD_DISRUPTION_BUDGETS), informers.of(PODS)
        self._sets, self._deployments = informers.of(REPLICA_SETS), informers.of(DEPLOYMENTS)
        self._recorder = EventRecorder(client, "controllermanager")
        self._queue = WorkQueue(self.reconcile, name="disruption-controller")
        self._budgets.add_handler(self._budget_changed)
        self._pods.add_handler(self._pod_changed)
        self._sets.add_handler(self._owner_changed)
        self._deployments.add_handler(self._owner_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _budget_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(key_of(new))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        changed = [pod for pod in (old, new) if pod is not None]
        for budget in self._budgets.in_namespace(changed[0]["metadata"]["namespace"]):
            if any(_covers(budget, pod) for pod in changed):
                self._queue.add(key_of(budget))

    def _owner_changed(self, old: Object | None, new: Object | None) -> None:
        """Percentages are of the owners' ``replicas``."""
        if new is None or (old is not None and old["spec"].get("replicas") == new["spec"].get("replicas")):
            return
        for budget in self._budgets.in_namespace(new["metadata"]["namespace"]):
            self._queue.add(key_of(budget))

    async def reconcile(self, key: Key) -> None:
        """Write the status of one budget."""
        budget = self._budgets.get(*key)
        if budget is None:
            return
        pods = [pod for pod in self._pods.in_namespace(key[0]) if _covers(budget, pod)]
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        status = budget_status(budget, pods, self._scale(pods))
        if status != budget.get("status"):
            await self._client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")
        if status.get("disruptedPods"):
            self._queue.add_after(key, _EVICTION_SEEN_WITHIN_SECONDS)

    def _scale(self, pods: Iterable[Object]) -> int:
        """The sum of ``replicas`` of the Deployments and ReplicaSets that own the pods."""
        scales: dict[str, int] = {}
        for pod in pods:
            reference = controller_of(pod)
            owner = self._sets.get(pod["metadata"]["namespace"], reference["name"]) if reference else None
            if owner is None:
                continue
            reference = controller_of(owner)
            deployment = self._deployments.get(owner["metadata"]["namespace"], reference["name"]) if reference else None
            top = deployment or owner
            scales[top["metadata"]["uid"]] = wanted(top)
        return sum(scales.values())


def _covers(budget: Object, pod: Object) -> bool:
    selector = budget["spec"].get("selector")
    return selector is not None and matches_selector(selector, labels_of(pod))


def budget_status(budget: Object, pods: list[Object], scale: int) -> dict[str, Any]:
    """The status of a budget over these pods.

    Args:
        budget: the PodDisruptionBudget.
        pods: all it selects, terminating ones included.
        scale: the sum of ``replicas`` of their owners.
    """
    expected, desired = _demand(budget["spec"], len(pods), scale)
    disrupted = _still_disrupted(budget, pods)
    healthy = sum(is_ready(pod) and not is_deleted(pod) and pod["metadata"]["name"] not in disrupted for pod in pods)
    allowed = max(0, healthy - desired) if expected > 0 else 0
    generation = budget["metadata"].get("generation", 1)
    status: dict[str, Any] = {
        "conditions": [_allowed_condition(budget, allowed, generation)],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": generation,
    }
    return {**status, "disruptedPods": disrupted} if disrupted else status


def _demand(spec: Object, count: int, scale: int) -> tuple[int, int]:
    """(expected pods, desired healthy pods)"""
    if spec.get("maxUnavailable") is not None:
        return scale, max(0, scale - scaled(spec["maxUnavailable"], scale, up=True))
    minimum = spec.get("minAvailable", 1)
    if str(minimum).endswith("%"):
        return scale, scaled(minimum, scale, up=True)
    return count, int(minimum)


def _still_disrupted(budget: Object, pods: Iterable[Object]) -> dict[str, str]:
    """Pods whose eviction was granted and whose deletion was not seen yet."""
    present = {pod["metadata"]["name"] for pod in pods if not is_deleted(pod)}
    recorded = (budget.get("status") or {}).get("disruptedPods") or {}
    return {
        name: time
        for name, time in recorded.items()
        if name in present and seconds_since(time) < _EVICTION_SEEN_WITHIN_SECONDS
    }


def _allowed_condition(budget: Object, allowed: int, generation: int) -> Object:
    status = "True" if allowed > 0 else "False"
    known = condition_of(budget, "DisruptionAllowed")
    same = known is not None and known["status"] == status
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": "SufficientPods" if allowed > 0 else "InsufficientPods",
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": known["lastTransitionTime"] if same and known else now(),
    }
