"""A Deployment rolls out, scales, rolls back and tells the truth about it."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster.embedded.meta import condition_of
from cluster.embedded.resources import DEPLOYMENTS, PODS
from tests.cluster.controllers.world import NAMESPACE, World, deployment, is_ready, rolling, run

REVISION = "deployment.kubernetes.io/revision"


def _progress(obj: Any) -> tuple[str, str, str]:
    condition = condition_of(obj, "Progressing")
    assert condition is not None
    return condition["status"], condition["reason"], condition["message"]


def test_a_new_deployment_becomes_available_as_recorded() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment())
        await world.available(3)
        await world.quiet()
        obj = await world.deployment()
        (rs,) = await world.sets()
        hash_value = rs["metadata"]["labels"]["pod-template-hash"]
        assert rs["metadata"]["name"] == f"web-{hash_value}"
        assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hash_value}
        assert rs["metadata"]["annotations"] == {
            REVISION: "1",
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
        }
        assert obj["metadata"]["annotations"][REVISION] == "1"
        assert _progress(obj) == (
            "True",
            "NewReplicaSetAvailable",
            f'ReplicaSet "web-{hash_value}" has successfully progressed.',
        )
        available = condition_of(obj, "Available")
        assert available is not None
        assert available["message"] == "Deployment has minimum availability."
        counts = {key: value for key, value in obj["status"].items() if key != "conditions"}
        assert counts == {
            "availableReplicas": 3,
            "observedGeneration": 1,
            "readyReplicas": 3,
            "replicas": 3,
            "terminatingReplicas": 0,
            "updatedReplicas": 3,
        }
        assert rs["status"] == {
            "availableReplicas": 3,
            "fullyLabeledReplicas": 3,
            "observedGeneration": 1,
            "readyReplicas": 3,
            "replicas": 3,
            "terminatingReplicas": 0,
        }
        assert await world.messages("ScalingReplicaSet") == [f"Scaled up replica set web-{hash_value} from 0 to 3"]
        names = sorted(pod["metadata"]["name"] for pod in await world.pods())
        assert sorted(await world.messages("SuccessfulCreate")) == [f"Created pod: {name}" for name in names]

    run(body)


def test_a_rollout_with_surge_scales_in_the_recorded_order() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(strategy=rolling(1, 0)))
        await world.available(3)
        (old,) = await world.sets()
        await world.set_image("web", "v2")
        await world.available(3)
        (new,) = [item for item in await world.sets() if item["metadata"]["name"] != old["metadata"]["name"]]
        a, b = old["metadata"]["name"], new["metadata"]["name"]
        assert (await world.messages("ScalingReplicaSet"))[1:] == [
            f"Scaled up replica set {b} from 0 to 1",
            f"Scaled down replica set {a} from 3 to 2",
            f"Scaled up replica set {b} from 1 to 2",
            f"Scaled down replica set {a} from 2 to 1",
            f"Scaled up replica set {b} from 2 to 3",
            f"Scaled down replica set {a} from 1 to 0",
        ]
        assert new["metadata"]["annotations"][REVISION] == "2"

    run(body)


def test_a_rollout_without_surge_scales_in_the_recorded_order() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(strategy=rolling(0, 1)))
        await world.available(3)
        (old,) = await world.sets()
        await world.set_image("web", "v2")
        await world.available(3)
        a = old["metadata"]["name"]
        (b,) = [item["metadata"]["name"] for item in await world.sets() if item["metadata"]["name"] != a]
        assert (await world.messages("ScalingReplicaSet"))[1:] == [
            f"Scaled down replica set {a} from 3 to 2",
            f"Scaled up replica set {b} from 0 to 1",
            f"Scaled down replica set {a} from 2 to 1",
            f"Scaled up replica set {b} from 1 to 2",
            f"Scaled down replica set {a} from 1 to 0",
            f"Scaled up replica set {b} from 2 to 3",
        ]

    run(body)


def test_a_stuck_rollout_times_out_and_a_rollback_uses_the_former_replica_set() -> None:
    async def body(world: World) -> None:
        world.kubelet.becomes_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "bad"
        await world.create(DEPLOYMENTS, deployment(replicas=2, progressDeadlineSeconds=1))
        await world.available(2)
        (old,) = await world.sets()
        await world.set_image("web", "bad")

        async def timed_out() -> bool:
            return _progress(await world.deployment())[1] == "ProgressDeadlineExceeded"

        await world.until(timed_out)
        obj = await world.deployment()
        status, _, message = _progress(obj)
        assert status == "False"
        assert message.endswith('" has timed out progressing.')
        assert obj["status"]["availableReplicas"] == 2
        assert obj["status"]["unavailableReplicas"] == 1
        await world.set_image("web", "v1")
        await world.available(2)
        await world.quiet()
        back = next(i for i in await world.sets() if i["metadata"]["uid"] == old["metadata"]["uid"])
        assert back["metadata"]["annotations"][REVISION] == "3"
        assert back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
        assert (await world.deployment())["metadata"]["annotations"][REVISION] == "3"
        assert _progress(await world.deployment())[1] == "NewReplicaSetAvailable"

    run(body)


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        await world.change("web", paused=True)
        await world.quiet()
        assert _progress(await world.deployment()) == ("Unknown", "DeploymentPaused", "Deployment is paused")
        await world.set_image("web", "v2")
        await world.change("web", replicas=3)
        await world.quiet()
        assert len(await world.sets()) == 1
        assert len(await world.pods()) == 3
        reasons: dict[str, None] = {}

        async def follow() -> None:
            version = str(world.store.version)
            async for event in world.client.watch(DEPLOYMENTS, NAMESPACE, resource_version=version):
                reasons[_progress(event.object)[1]] = None

        following = asyncio.create_task(follow())
        await world.turns(5)
        await world.change("web", paused=False)
        await world.available(3)
        await world.quiet()
        following.cancel()
        assert len(await world.sets()) == 2
        # As recorded: the reason NewReplicaSetCreated never shows after a resume.
        assert list(reasons) == [
            "DeploymentPaused",
            "DeploymentResumed",
            "ReplicaSetUpdated",
            "NewReplicaSetAvailable",
        ]

    run(body)


def test_recreate_starts_new_pods_only_when_the_old_are_gone() -> None:
    async def body(world: World) -> None:
        world.kubelet.stops = lambda pod: False
        await world.create(DEPLOYMENTS, deployment(replicas=2, strategy={"type": "Recreate"}))
        await world.available(2)
        await world.set_image("web", "v2")
        await world.quiet()
        assert {pod["spec"]["containers"][0]["image"] for pod in await world.pods()} == {"v1"}
        world.kubelet.stops = lambda pod: True
        world.kubelet.look_again()
        await world.available(2)
        assert {pod["spec"]["containers"][0]["image"] for pod in await world.pods()} == {"v2"}

    run(body)


def test_old_replica_sets_beyond_the_limit_are_deleted() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=1, revisionHistoryLimit=1))
        await world.available(1)
        for image in ("v2", "v3", "v4"):
            await world.set_image("web", image)
            await world.available(1)
            await world.quiet()
        revisions = sorted(item["metadata"]["annotations"][REVISION] for item in await world.sets())
        assert revisions == ["3", "4"]

    run(body)


def test_min_ready_seconds_delay_availability() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=1, minReadySeconds=1))

        async def ready() -> bool:
            return ((await world.deployment()).get("status") or {}).get("readyReplicas") == 1

        await world.until(ready)
        assert "availableReplicas" not in (await world.deployment())["status"]
        await world.available(1)

    run(body)


def test_a_scale_in_the_middle_of_a_rollout_is_shared_out() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=4, strategy=rolling(2, 0)))
        await world.available(4)
        world.kubelet.becomes_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "bad"
        await world.set_image("web", "bad")
        await world.quiet()
        await world.change("web", replicas=8)
        await world.quiet()
        sizes = sorted(item["spec"]["replicas"] for item in await world.sets())
        # Ten pods may exist; six did, four of them old.
        assert sizes == [3, 7]

    run(body)


def test_a_deleted_pod_is_replaced_before_it_is_gone() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        world.kubelet.stops = lambda pod: False
        victim = (await world.pods())[0]
        await world.client.delete(PODS, victim["metadata"]["name"], NAMESPACE)
        await world.quiet()
        assert len(await world.pods()) == 3
        (rs,) = await world.sets()
        assert (rs["status"]["replicas"], rs["status"]["terminatingReplicas"]) == (2, 1)
        assert sum(map(is_ready, await world.pods())) == 3

    run(body)


def test_a_finished_rollout_writes_nothing_more() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=3))
        await world.available(3)
        await world.quiet()
        version = world.store.version
        await world.quiet()
        assert world.store.version == version

    run(body)
