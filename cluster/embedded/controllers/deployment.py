"""Rolls a Deployment's pods from one template to the next, and reports how far it got."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers import deployment_status
from cluster.embedded.controllers.common import controlled_by, controller_of, owner_reference, terminating
from cluster.embedded.controllers.rollout import (
    Replicas,
    bounds,
    grow_new,
    scale_proportionally,
    shrink_old,
    template_hash,
)
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.resources import DEPLOYMENTS, REPLICA_SETS, Object

REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAX = "deployment.kubernetes.io/max-replicas"
_HASH = "pod-template-hash"
_NOT_COPIED = {REVISION, _HISTORY, _DESIRED, _MAX, "kubectl.kubernetes.io/last-applied-configuration"}


class DeploymentController:
    """One reconcile does one step; the watches of what it changed bring it back for the next."""

    def __init__(self, client: ApiClient, deployments: Informer, replica_sets: Informer, pods: Informer) -> None:
        self._client = client
        self._deployments = deployments
        self._replica_sets = replica_sets
        self._pods = pods
        self._recorder = EventRecorder(client, "deployment-controller")
        self._queue = WorkQueue(self._reconcile, name="deployment")
        deployments.add_handler(self._on_deployment)
        replica_sets.add_handler(self._on_replica_set)
        pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(*(i.synced.wait() for i in (self._deployments, self._replica_sets, self._pods)))
        await self._queue.run()

    def _on_deployment(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        self._queue.add((obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def _on_replica_set(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        owner = controller_of(obj)
        if owner and owner["kind"] == "Deployment":
            self._queue.add((obj["metadata"]["namespace"], owner["name"]))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is not None:  # only the disappearance of a pod matters here (Recreate); readiness comes by ReplicaSets
            return
        assert old is not None
        owner = controller_of(old)
        replica_set = self._replica_sets.get(old["metadata"]["namespace"], owner["name"]) if owner else None
        if replica_set is not None:
            self._on_replica_set(None, replica_set)

    async def _reconcile(self, key: Key) -> None:
        deployment = self._deployments.get(*key)
        if deployment is None:
            return
        owned = controlled_by(self._replica_sets.in_namespace(key[0]), deployment)
        if terminating(deployment):
            await self._report(deployment, None, owned)
            return
        new = _find_new(deployment, owned)
        if deployment["spec"].get("paused"):
            await self._scale_paused(deployment, owned)
        elif new is None:
            new = await self._create_new(deployment, owned)
            if new is None:
                return
            owned = [*owned, new]
        else:
            new = await self._sync_new(deployment, new, owned)
        olds = [rs for rs in owned if new is None or rs["metadata"]["uid"] != new["metadata"]["uid"]]
        if new is not None and not deployment["spec"].get("paused"):
            await self._roll(deployment, new, olds)
            await self._clean_up(deployment, new, olds)
        await self._report(deployment, new, [*olds, new] if new else olds)

    async def _roll(self, deployment: Object, new: Object, olds: list[Object]) -> None:
        replicas = deployment["spec"].get("replicas", 1)
        surge, unavailable = bounds(deployment["spec"].get("strategy") or {}, replicas)
        if await self._rescaled(deployment, new, olds, replicas + surge):
            return
        recreate = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
        new_r, old_r = _replicas(new), sorted(map(_replicas, olds), key=lambda r: r.name)
        if recreate:
            for old in olds:
                await self._scale(deployment, old, 0)
            if not any(controlled_by(self._pods.in_namespace(new["metadata"]["namespace"]), old) for old in olds):
                await self._scale(deployment, new, replicas)
            return
        if new_r.spec > replicas:
            await self._scale(deployment, new, replicas)
            return
        target = grow_new(new_r, old_r, replicas, surge)
        if target != new_r.spec:
            await self._scale(deployment, new, target)
            return
        by_name = {rs["metadata"]["name"]: rs for rs in olds}
        for name, count in shrink_old(new_r, old_r, replicas, unavailable).items():
            await self._scale(deployment, by_name[name], count)

    async def _rescaled(self, deployment: Object, new: Object, olds: list[Object], limit: int) -> bool:
        """Spread a changed ``spec.replicas`` over the ReplicaSets of an unfinished rollout; True if it did."""
        desired = str(deployment["spec"].get("replicas", 1))
        sets = [new, *olds]
        active = [rs for rs in sets if rs["spec"].get("replicas", 0) > 0]
        stale = [rs for rs in active if _annotations(rs).get(_DESIRED, desired) != desired]
        if not stale:
            return False
        if len(active) == 1:
            count = int(desired)
            await self._scale(deployment, active[0], count)
            return True
        for name, count in scale_proportionally(list(map(_replicas, active)), limit).items():
            await self._scale(deployment, next(rs for rs in active if rs["metadata"]["name"] == name), count)
        return True

    async def _scale_paused(self, deployment: Object, owned: list[Object]) -> None:
        active = [rs for rs in owned if rs["spec"].get("replicas", 0) > 0]
        if len(active) == 1:
            await self._scale(deployment, active[0], deployment["spec"].get("replicas", 1))

    async def _scale(self, deployment: Object, replica_set: Object, count: int) -> None:
        before = replica_set["spec"].get("replicas", 0)
        annotations = {**_annotations(replica_set), **_size_annotations(deployment)}
        if before == count and annotations == _annotations(replica_set):
            return
        updated = copy.deepcopy(replica_set)
        updated["spec"]["replicas"] = count
        updated["metadata"]["annotations"] = annotations
        await self._client.update(REPLICA_SETS, updated)
        if before != count:
            word = "up" if count > before else "down"
            name = replica_set["metadata"]["name"]
            message = f"Scaled {word} replica set {name} from {before} to {count}"
            self._recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _create_new(self, deployment: Object, owned: list[Object]) -> Object | None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        digest = template_hash(spec["template"], deployment.get("status", {}).get("collisionCount", 0))
        labels = {**((spec["template"].get("metadata") or {}).get("labels") or {}), _HASH: digest}
        template = copy.deepcopy(spec["template"])
        template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
        selector = copy.deepcopy(spec["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), _HASH: digest}
        replicas = spec.get("replicas", 1)
        surge, _ = bounds(spec.get("strategy") or {}, replicas)
        recreate = (spec.get("strategy") or {}).get("type") == "Recreate"
        empty = Replicas("", 0, 0, 0)
        count = 0 if recreate and owned else grow_new(empty, list(map(_replicas, owned)), replicas, surge)
        revision = _next_revision(owned)
        replica_set = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "namespace": metadata["namespace"],
                "labels": labels,
                "annotations": {**_inherited(deployment), **_size_annotations(deployment), REVISION: revision},
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {"replicas": count, "selector": selector, "template": template}
            | ({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
        }
        try:
            created = await self._client.create(REPLICA_SETS, replica_set)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return None  # the cache has yet to show it
        await self._set_revision(deployment, revision)
        if count:
            message = f"Scaled up replica set {created['metadata']['name']} from 0 to {count}"
            self._recorder.event(deployment, "Normal", "ScalingReplicaSet", message)
        return created

    async def _sync_new(self, deployment: Object, new: Object, owned: list[Object]) -> Object:
        """Give an older ReplicaSet that is wanted again (a rollback) the newest revision number."""
        others = [rs for rs in owned if rs is not new]
        current = _annotations(new).get(REVISION, "0")
        wanted = _next_revision(others) if int(current) < int(_next_revision(others)) else current
        if wanted != current:
            updated = copy.deepcopy(new)
            history = [h for h in (_annotations(new).get(_HISTORY), current) if h and h != "0"]
            updated["metadata"]["annotations"] = {
                **_annotations(new), REVISION: wanted, _HISTORY: ",".join(history),
            }  # fmt: skip
            new = await self._client.update(REPLICA_SETS, updated)
        await self._set_revision(deployment, wanted)
        return new

    async def _set_revision(self, deployment: Object, revision: str) -> None:
        if _annotations(deployment).get(REVISION) != revision:
            metadata = deployment["metadata"]
            patch = {"metadata": {"annotations": {REVISION: revision}}}
            await self._client.patch(DEPLOYMENTS, metadata["name"], patch, metadata["namespace"])

    async def _clean_up(self, deployment: Object, new: Object, olds: list[Object]) -> None:
        """Delete what is beyond revisionHistoryLimit once the rollout is complete."""
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        if not deployment_status.complete(deployment, new, olds):
            return
        idle = [rs for rs in olds if not rs["spec"].get("replicas") and not rs.get("status", {}).get("replicas")]
        idle.sort(key=lambda rs: int(_annotations(rs).get(REVISION, "0")))
        for replica_set in idle[: max(0, len(idle) - limit)]:
            metadata = replica_set["metadata"]
            await self._client.delete(REPLICA_SETS, metadata["name"], metadata["namespace"], uid=metadata["uid"])

    async def _report(self, deployment: Object, new: Object | None, owned: list[Object]) -> None:
        metadata = deployment["metadata"]
        fresh = await self._client.get(DEPLOYMENTS, metadata["name"], metadata["namespace"])
        status, recheck_seconds = deployment_status.status(deployment, fresh.get("status", {}), new, owned)
        if status != fresh.get("status", {}):
            await self._client.update(DEPLOYMENTS, {**fresh, "status": status}, subresource="status")
        if recheck_seconds is not None:
            self._queue.add_after((metadata["namespace"], metadata["name"]), recheck_seconds)


def _find_new(deployment: Object, owned: list[Object]) -> Object | None:
    """The ReplicaSet with the Deployment's template, the oldest if there are several."""
    wanted = _bare(deployment["spec"]["template"])
    same = [rs for rs in owned if _bare(rs["spec"]["template"]) == wanted]
    return min(same, key=lambda rs: int(rs["metadata"].get("resourceVersion", "0")), default=None)


def _bare(template: dict[str, Any]) -> dict[str, Any]:
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != _HASH}
    kept = {k: v for k, v in metadata.items() if k not in ("labels", "creationTimestamp")}
    return {**template, "metadata": {**kept, "labels": labels}}


def _replicas(replica_set: Object) -> Replicas:
    status = replica_set.get("status") or {}
    return Replicas(
        name=replica_set["metadata"]["name"],
        spec=replica_set["spec"].get("replicas", 0),
        actual=status.get("replicas", 0),
        available=status.get("availableReplicas", 0),
    )


def _annotations(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _inherited(deployment: Object) -> dict[str, str]:
    return {k: v for k, v in _annotations(deployment).items() if k not in _NOT_COPIED}


def _size_annotations(deployment: Object) -> dict[str, str]:
    replicas = deployment["spec"].get("replicas", 1)
    surge, _ = bounds(deployment["spec"].get("strategy") or {}, replicas)
    return {_DESIRED: str(replicas), _MAX: str(replicas + surge)}


def _next_revision(replica_sets: list[Object]) -> str:
    return str(max((int(_annotations(rs).get(REVISION, "0")) for rs in replica_sets), default=0) + 1)
