"""One step of a Deployment: the writes to its ReplicaSets and its status that follow from what was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers import deployment_status as statuses
from cluster.embedded.controllers import revisions
from cluster.embedded.controllers.expectations import Writes
from cluster.embedded.controllers.replicaset import wanted
from cluster.embedded.controllers.rollout import bounds_of, grown, proportional, shrunk, surplus_history
from cluster.embedded.controllers.templates import same_template, template_hash
from cluster.embedded.events import EventRecorder
from cluster.embedded.meta import annotations_of, condition_of, controller_of, is_deleted, key_of
from cluster.embedded.resources import DEPLOYMENTS, REPLICA_SETS, Object


class Step:
    """One reconcile of one Deployment: what was read, and the writes that follow from it."""

    def __init__(
        self,
        client: ApiClient,
        recorder: EventRecorder,
        writes: Writes,
        deployment: Object,
        sets: list[Object],
    ) -> None:
        self._client, self._recorder, self._writes = client, recorder, writes
        self.deployment = deployment
        self.new = revisions.new_set(deployment, sets)
        self.old = revisions.old_sets(sets, self.new)

    @property
    def sets(self) -> list[Object]:
        """All ReplicaSets, the new one last."""
        return [*self.old, *([self.new] if self.new else [])]

    async def note_pause(self) -> None:
        """Set Progressing to DeploymentPaused, or DeploymentResumed after it."""
        current = condition_of(self.deployment, "Progressing")
        reason = current["reason"] if current else ""
        if statuses.deadline_of(self.deployment) is None or reason == statuses.TIMED_OUT:
            return
        paused = bool(self.deployment["spec"].get("paused"))
        if paused and reason != statuses.PAUSED:
            await self._set_progressing("Unknown", statuses.PAUSED, "Deployment is paused")
        elif not paused and reason == statuses.PAUSED:
            await self._set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed")

    async def roll(self) -> None:
        """A step of a rolling update."""
        await self.revise(create=True)
        if not await self._grow_new() and not await self._shrink_old():
            await self._finish()
        await self.write_progress()

    async def recreate(self, has_pods: Callable[[Object], bool]) -> None:
        """A step of a Recreate rollout: the new pods come when the old ones are gone."""
        await self.revise()
        shrinking = [await self._resize(item, 0) for item in list(self.old)]
        if not any(shrinking) and not any(has_pods(item) for item in self.old):
            if self.new is None:
                await self.revise(create=True)
            await self._grow_new()
            await self._finish()
        await self.write_progress()

    async def scale(self) -> None:
        """Share a changed ``replicas`` out over the ReplicaSets, without rolling anything."""
        bounds = bounds_of(self.deployment)
        active = [item for item in self.sets if wanted(item) > 0]
        if len(active) <= 1:
            only = active[0] if active else self.new or (self.old[-1] if self.old else None)
            if only is not None:
                await self._resize(only, bounds.replicas)
        elif revisions.is_saturated(self.deployment, self.new):
            for item in list(self.old):
                await self._resize(item, 0)
        elif bounds.rolling:
            fallback = int((self.deployment.get("status") or {}).get("replicas") or 0)
            sizes = [revisions.size_of(item) for item in active]
            await self._resize_all(proportional(bounds, sizes, fallback))

    async def clean_up(self) -> None:
        """Delete old ReplicaSets beyond ``revisionHistoryLimit``."""
        limit = self.deployment["spec"].get("revisionHistoryLimit", 10)
        if limit is None:
            return
        sets = [
            {
                "name": item["metadata"]["name"],
                "revision": revisions.revision_of(item),
                "idle": revisions.is_idle(item),
            }
            for item in self.old
            if not is_deleted(item)
        ]
        for name in surplus_history(sets, int(limit)):
            await self._client.delete(
                REPLICA_SETS, name, self.deployment["metadata"]["namespace"], propagation="Background"
            )

    async def revise(self, *, create: bool = False) -> None:
        """Give the new ReplicaSet the highest revision, creating it if asked to; the Deployment gets it too."""
        if self.new is not None:
            await self._revise_known()
        elif create:
            await self._create_new()

    async def _revise_known(self) -> None:
        assert self.new is not None
        annotations = revisions.revised(self.deployment, self.new, self.old)
        minimum = self.deployment["spec"].get("minReadySeconds") or 0
        changes: dict[str, Any] = {}
        if annotations != annotations_of(self.new):
            changes["metadata"] = {"annotations": annotations}
        if minimum != (self.new["spec"].get("minReadySeconds") or 0):
            changes["spec"] = {"minReadySeconds": minimum}
        if changes:
            self.new = await self._patch_set(self.new, changes)
        deadline, text = statuses.deadline_of(self.deployment), ""
        if deadline is not None and condition_of(self.deployment, "Progressing") is None:
            text = f'Found new replica set "{self.new["metadata"]["name"]}"'
        await self._set_revision("FoundNewReplicaSet", text)

    async def _create_new(self) -> None:
        fresh = self._fresh_set()
        try:
            self.new = await self._client.create(REPLICA_SETS, fresh)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                await self._use_existing(fresh)
            else:
                await self._set_progressing("False", "ReplicaSetCreateError", f"Failed to create: {error}")
                raise
        else:
            self._writes.wrote(key_of(self.deployment), self.new)
            count = wanted(fresh)
            if count:
                self._announce(fresh, 0, count)
            watched = statuses.deadline_of(self.deployment) is not None
            text = f'Created new replica set "{fresh["metadata"]["name"]}"' if watched else ""
            await self._set_revision("NewReplicaSetCreated", text)

    def _fresh_set(self) -> Object:
        collisions = int((self.deployment.get("status") or {}).get("collisionCount") or 0)
        value = template_hash(self.deployment["spec"]["template"], collisions)
        fresh = revisions.fresh_set(self.deployment, self.old, value)
        bounds = bounds_of(self.deployment)
        new_size = revisions.size_of(_with_timestamp(fresh))
        fresh["spec"]["replicas"] = grown(bounds, new_size, sum(map(wanted, self.old)))
        return fresh

    async def _use_existing(self, fresh: Object) -> None:
        """The name is taken: by what the cache does not show yet, or by another template with the same hash."""
        existing = await self._client.get(REPLICA_SETS, fresh["metadata"]["name"], fresh["metadata"]["namespace"])
        reference = controller_of(existing)
        ours = reference is not None and reference["uid"] == self.deployment["metadata"]["uid"]
        if ours and same_template(existing["spec"]["template"], self.deployment["spec"]["template"]):
            self.new = existing
            await self._set_revision()
            return
        status = dict(self.deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self._write_status(status)
        await self._create_new()

    async def _grow_new(self) -> bool:
        if self.new is None:
            return False
        total = sum(map(wanted, self.sets))
        target = grown(bounds_of(self.deployment), revisions.size_of(self.new), total)
        return target != wanted(self.new) and await self._resize(self.new, target)

    async def _shrink_old(self) -> bool:
        if self.new is None:
            return False
        sizes = [revisions.size_of(item) for item in self.old]
        targets = shrunk(bounds_of(self.deployment), revisions.size_of(self.new), sizes)
        await self._resize_all(targets)
        return bool(targets)

    async def _finish(self) -> None:
        if statuses.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self.clean_up()

    async def _resize_all(self, targets: Mapping[str, int]) -> None:
        for item in self.sets:
            name = item["metadata"]["name"]
            if name in targets:
                await self._resize(item, targets[name])

    async def _resize(self, replica_set: Object, replicas: int) -> bool:
        """Scale a ReplicaSet and keep its annotations true; whether its size changed."""
        before = wanted(replica_set)
        noted = revisions.size_annotations(bounds_of(self.deployment))
        changes: dict[str, Any] = {}
        if not noted.items() <= annotations_of(replica_set).items():
            changes["metadata"] = {"annotations": noted}
        if replicas != before:
            changes["spec"] = {"replicas": replicas}
        if not changes or (replicas == before and before == 0):
            return False
        await self._patch_set(replica_set, changes)
        if replicas == before:
            return False
        self._announce(replica_set, before, replicas)
        return True

    def _announce(self, replica_set: Object, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        name = replica_set["metadata"]["name"]
        text = f"Scaled {direction} replica set {name} from {before} to {after}"
        self._recorder.event(self.deployment, "Normal", "ScalingReplicaSet", text)

    async def _patch_set(self, replica_set: Object, changes: dict[str, Any]) -> Object:
        """Change a ReplicaSet if it is as it was read, and keep the result."""
        namespace, name = key_of(replica_set)
        metadata = {
            **changes.get("metadata", {}),
            "resourceVersion": replica_set["metadata"]["resourceVersion"],
        }
        written = await self._client.patch(REPLICA_SETS, name, {**changes, "metadata": metadata}, namespace)
        self._writes.wrote(key_of(self.deployment), written)
        if self.new is not None and self.new["metadata"]["uid"] == written["metadata"]["uid"]:
            self.new = written
        self.old = [written if item["metadata"]["uid"] == written["metadata"]["uid"] else item for item in self.old]
        return written

    async def _set_revision(self, reason: str = "", message: str = "") -> None:
        """Give the Deployment the revision of its new set and, with a message, a reason of progress: in one write."""
        assert self.new is not None
        metadata, status = self.deployment["metadata"], self.deployment.get("status") or {}
        revision = annotations_of(self.new).get(revisions.REVISION)
        if revision and annotations_of(self.deployment).get(revisions.REVISION) != revision:
            metadata = {**metadata, "annotations": {**annotations_of(self.deployment), revisions.REVISION: revision}}
        if message:
            status = {**status, "conditions": self._with_progress("True", reason, message)}
        changed = {**self.deployment, "metadata": metadata, "status": status}
        if message or metadata is not self.deployment["metadata"]:
            # Through the status, as a write of the desired state would count as a new generation.
            self.deployment = await self._client.update(DEPLOYMENTS, changed, subresource="status")

    def _with_progress(self, status: str, reason: str, message: str) -> list[Object]:
        new = statuses.condition("Progressing", status, reason, message)
        return statuses.with_condition(statuses.conditions_of(self.deployment), new)

    async def _set_progressing(self, status: str, reason: str, message: str) -> None:
        conditions = self._with_progress(status, reason, message)
        await self._write_status({**(self.deployment.get("status") or {}), "conditions": conditions})

    async def write_counts(self) -> None:
        """Write the status without judging progress (while scaling, paused or deleted)."""
        await self._write_status(statuses.counted(self.deployment, self.sets, self.new))

    async def write_progress(self) -> None:
        """Write the status of a rollout."""
        status = statuses.counted(self.deployment, self.sets, self.new)
        await self._write_status(statuses.progressed(self.deployment, status, self.sets, self.new))

    async def _write_status(self, status: Object) -> None:
        if status != (self.deployment.get("status") or {}):
            changed = {**self.deployment, "status": status}
            self.deployment = await self._client.update(DEPLOYMENTS, changed, subresource="status")


def _with_timestamp(replica_set: Object) -> Object:
    """A set that was not written yet has no creation time."""
    return {**replica_set, "metadata": {"creationTimestamp": "", **replica_set["metadata"]}}
