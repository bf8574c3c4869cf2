"""The ReplicaSet controller: as many pods as asked for, and a status that says how many there are."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.expectations import Expectations
from cluster.embedded.controllers.ownership import candidates, claim, controller_uid_of
from cluster.embedded.controllers.pods import (
    is_active,
    is_finished,
    is_ready,
    pod_from_template,
    seconds_until_available,
    to_delete,
)
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import (
    controller_of,
    controller_reference,
    is_deleted,
    key_of,
    labels_of,
    matches_selector,
    now,
)
from cluster.embedded.resources import PODS, REPLICA_SETS, Object

_BURST = 500
_YIELD_EVERY = 20
_LARGE = 100
_SECONDS_PER_POD = 0.0002
"""To look at a set takes about 10 us for each pod; at most a twentieth of the time is spent on one set."""


class ReplicaSetController:
    """Watches ReplicaSets and pods; creates and deletes pods."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._sets, self._pods = informers.of(REPLICA_SETS), informers.of(PODS)
        self._by_controller = self._pods.index(controller_uid_of)
        self._expectations = Expectations()
        self._recorder = EventRecorder(client, "replicaset-controller")
        self._queue = WorkQueue(self.reconcile, name="replicaset-controller")
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        if obj := new or old:
            if new is None or (old and old["metadata"]["uid"] != new["metadata"]["uid"]):
                self._expectations.forget(key_of(obj))
            self._queue.add(key_of(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and self._is_mere_progress(old, new):
            return
        for pod in (old, new):
            if pod is not None:
                self._enqueue_owner(pod)
        latest = new or old
        if latest is None or not (owner := self._owner_key(latest)):
            return
        if new is None or is_deleted(new):
            self._expectations.deleted(owner, latest["metadata"]["uid"])
        if old is None:
            self._expectations.created(owner)

    def _is_mere_progress(self, old: Object, new: Object) -> bool:
        """Whether a pod of a large set changed only its status: these are looked at together, a little later."""
        same_owners = old["metadata"].get("ownerReferences") == new["metadata"].get("ownerReferences")
        key, (namespace, uid) = self._owner_key(new), controller_uid_of(new)
        if key is None or not same_owners or is_deleted(new) or is_finished(new):
            return False
        count = self._by_controller.count((namespace, uid))
        if count < _LARGE:
            return False
        self._queue.add_after(key, count * _SECONDS_PER_POD)
        return True

    def _owner_key(self, pod: Object) -> Key | None:
        reference = controller_of(pod)
        if reference is None or reference["kind"] != "ReplicaSet":
            return None
        return pod["metadata"]["namespace"], reference["name"]

    def _enqueue_owner(self, pod: Object) -> None:
        if key := self._owner_key(pod):
            self._queue.add(key)
        elif controller_of(pod) is None:
            for candidate in self._sets.in_namespace(pod["metadata"]["namespace"]):
                if matches_selector(candidate["spec"].get("selector"), labels_of(pod)):
                    self._queue.add(key_of(candidate))

    async def reconcile(self, key: Key) -> None:
        """Bring one ReplicaSet closer to its spec."""
        replica_set = self._sets.get(*key)
        if replica_set is None:
            return
        in_sync = self._expectations.satisfied(key)
        pods = await claim(
            self._client,
            (REPLICA_SETS, replica_set),
            PODS,
            [pod for pod in candidates(self._by_controller, replica_set) if not is_finished(pod)],
        )
        active = [pod for pod in pods if is_active(pod)]
        failure: ApiError | None = None
        if in_sync and not is_deleted(replica_set):
            failure = await self._manage(key, replica_set, active)
        terminating = len(pods) - len(active)
        await self._write_status(replica_set, status_of(replica_set, active, terminating, failure))
        self._requeue_for_availability(key, replica_set, active)
        if failure is not None:
            raise failure

    async def _manage(self, key: Key, replica_set: Object, active: list[Object]) -> ApiError | None:
        surplus = len(active) - wanted(replica_set)
        if surplus < 0:
            return await self._create(key, replica_set, min(-surplus, _BURST))
        if surplus > 0:
            return await self._delete(key, replica_set, active, min(surplus, _BURST))
        return None

    async def _create(self, key: Key, replica_set: Object, count: int) -> ApiError | None:
        spec, name = replica_set["spec"], replica_set["metadata"]["name"]
        pod = pod_from_template(spec["template"], name, key[0], controller_reference(replica_set))
        self._expectations.expect_creations(key, count)
        for done in range(count):
            if done % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)  # calls in the process never suspend, and others have work too
            try:
                created = await self._client.create(PODS, pod)
            except ApiError as error:
                for _ in range(count - done):
                    self._expectations.created(key)
                self._recorder.event(replica_set, "Warning", "FailedCreate", f"Error creating: {error}")
                return error
            text = f"Created pod: {created['metadata']['name']}"
            self._recorder.event(replica_set, "Normal", "SuccessfulCreate", text)
        return None

    async def _delete(self, key: Key, replica_set: Object, active: list[Object], count: int) -> ApiError | None:
        victims = to_delete(active, count, self._related(replica_set))
        self._expectations.expect_deletions(key, [pod["metadata"]["uid"] for pod in victims])
        failure: ApiError | None = None
        for pod in victims:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            try:
                await self._client.delete(PODS, name, key[0], uid=uid)
            except ApiError as error:
                self._expectations.deleted(key, uid)
                if error.code != 404:
                    self._recorder.event(replica_set, "Warning", "FailedDelete", f"Error deleting: {error}")
                    failure = error
            else:
                self._recorder.event(replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
        return failure

    def _related(self, replica_set: Object) -> list[Object]:
        """The active pods of all ReplicaSets with the same owner."""
        owner = controller_of(replica_set)
        uids = {replica_set["metadata"]["uid"]}
        namespace = replica_set["metadata"]["namespace"]
        for other in self._sets.in_namespace(namespace):
            reference = controller_of(other)
            if owner and reference and reference["uid"] == owner["uid"]:
                uids.add(other["metadata"]["uid"])
        return [pod for uid in uids for pod in self._by_controller.of((namespace, uid)) if is_active(pod)]

    async def _write_status(self, replica_set: Object, status: Object) -> None:
        if status != replica_set.get("status"):
            await self._client.update(REPLICA_SETS, {**replica_set, "status": status}, subresource="status")

    def _requeue_for_availability(self, key: Key, replica_set: Object, active: list[Object]) -> None:
        minimum = int(replica_set["spec"].get("minReadySeconds") or 0)
        waits = [seconds for pod in active if (seconds := seconds_until_available(pod, minimum))]
        if waits:
            self._queue.add_after(key, min(waits))


def wanted(replica_set: Object) -> int:
    """``spec.replicas``, 1 by default."""
    replicas = replica_set["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status_of(replica_set: Object, active: list[Object], terminating: int, failure: ApiError | None) -> dict[str, Any]:
    """The status that describes these pods; counts of zero are left out, as Kubernetes does."""
    spec = replica_set["spec"]
    template_labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    minimum = int(spec.get("minReadySeconds") or 0)
    counts = {
        "availableReplicas": sum(seconds_until_available(pod, minimum) == 0 for pod in active),
        "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(is_ready(pod) for pod in active),
    }
    status: dict[str, Any] = {name: count for name, count in counts.items() if count}
    status["replicas"] = len(active)
    status["terminatingReplicas"] = terminating
    status["observedGeneration"] = replica_set["metadata"].get("generation", 1)
    if conditions := _failure_conditions(replica_set, len(active), failure):
        status["conditions"] = conditions
    return status


def _failure_conditions(replica_set: Object, active: int, failure: ApiError | None) -> list[dict[str, Any]]:
    if failure is None:
        return []
    known = (replica_set.get("status") or {}).get("conditions")
    if known:
        return list(known)
    reason = "FailedCreate" if active < wanted(replica_set) else "FailedDelete"
    return [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": reason,
            "message": str(failure),
            "lastTransitionTime": now(),
        }
    ]
