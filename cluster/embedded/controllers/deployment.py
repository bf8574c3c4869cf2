"""The Deployment controller: rolls a new pod template out by scaling ReplicaSets, within its bounds."""

from __future__ import annotations

from cluster.embedded.client import ApiClient
from cluster.embedded.controllers import deployment_status as statuses
from cluster.embedded.controllers import revisions
from cluster.embedded.controllers.deployment_step import Step
from cluster.embedded.controllers.expectations import Writes
from cluster.embedded.controllers.ownership import claim, controller_uid_of
from cluster.embedded.controllers.pods import is_finished
from cluster.embedded.controllers.rollout import bounds_of
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import (
    controller_of,
    is_deleted,
    key_of,
    labels_of,
    matches_selector,
)
from cluster.embedded.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Object


class DeploymentController:
    """Watches Deployments, ReplicaSets and pods; creates, scales and deletes ReplicaSets."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._deployments = informers.of(DEPLOYMENTS)
        self._sets, self._pods = informers.of(REPLICA_SETS), informers.of(PODS)
        self._writes = Writes(self._sets)
        self._recorder = EventRecorder(client, "deployment-controller")
        self._queue = WorkQueue(self.reconcile, name="deployment-controller")
        self._deployments.add_handler(self._deployment_changed)
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _deployment_changed(self, old: Object | None, new: Object | None) -> None:
        if obj := new or old:
            self._queue.add(key_of(obj))

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and (reference := controller_of(old)):
            self._writes.deleted((old["metadata"]["namespace"], reference["name"]), key_of(old))
        for obj in (old, new):
            if obj is not None:
                self._enqueue_owner(obj)

    def _enqueue_owner(self, replica_set: Object) -> None:
        namespace = replica_set["metadata"]["namespace"]
        reference = controller_of(replica_set)
        if reference is not None:
            if reference["kind"] == "Deployment":
                self._queue.add((namespace, reference["name"]))
            return
        for deployment in self._deployments.in_namespace(namespace):
            if matches_selector(deployment["spec"].get("selector"), labels_of(replica_set)):
                self._queue.add(key_of(deployment))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """A Recreate rollout waits for the last old pod to be gone; nothing else depends on pods directly."""
        if new is not None or old is None:
            return
        reference = controller_of(old)
        replica_set = self._sets.get(old["metadata"]["namespace"], reference["name"]) if reference else None
        if replica_set is not None:
            self._enqueue_owner(replica_set)

    async def reconcile(self, key: Key) -> None:
        """Take the next step of one Deployment."""
        deployment = self._deployments.get(*key)
        if deployment is None or not deployment["spec"].get("selector") or not self._writes.seen(key):
            return
        sets = await claim(self._client, (DEPLOYMENTS, deployment), REPLICA_SETS, self._sets.in_namespace(key[0]))
        step = Step(self._client, self._recorder, self._writes, deployment, sets)
        if is_deleted(deployment):
            await step.write_counts()
        else:
            await step.note_pause()
            await self._advance(step)
        delay = statuses.seconds_to_deadline(step.deployment)
        if delay is not None:
            self._queue.add_after(key, delay)

    async def _advance(self, step: Step) -> None:
        paused = bool(step.deployment["spec"].get("paused"))
        if paused or revisions.is_scaling(step.deployment, step.sets):
            await step.revise()
            await step.scale()
            if paused:
                await step.clean_up()
            await step.write_counts()
        elif bounds_of(step.deployment).rolling:
            await step.roll()
        else:
            await step.recreate(self._has_pods)

    def _has_pods(self, replica_set: Object) -> bool:
        """Whether pods of the ReplicaSet may still run, terminating ones included."""
        uid = replica_set["metadata"]["uid"]
        namespace = replica_set["metadata"]["namespace"]
        return any(not is_finished(pod) for pod in self._pods.index(controller_uid_of).of((namespace, uid)))
