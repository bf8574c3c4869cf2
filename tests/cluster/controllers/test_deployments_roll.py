"""Deployments on the real controllers: creation, rollouts, rollback, deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from cluster.embedded.controllers.common import condition, pod_ready
from cluster.embedded.informer import Informer
from cluster.embedded.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from tests.cluster.controllers.conftest import World, complete, web


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_a_new_deployment_gets_its_pods_and_says_so_like_a_real_one() -> None:
    async def story() -> None:
        async with World() as world:
            await world.client.create(DEPLOYMENTS, web())
            done = await world.until(complete)
            assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
            available, progressing = condition(done, "Available"), condition(done, "Progressing")
            assert available is not None
            assert progressing is not None
            assert (available["reason"], progressing["reason"]) == (
                "MinimumReplicasAvailable",
                "NewReplicaSetAvailable",
            )
            (replica_set,) = (await world.client.list(REPLICA_SETS, "system")).items
            assert replica_set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] == "4"
            events = (await world.client.list(EVENTS, "system")).items
            messages = {event["message"] for event in events if event["reason"] == "ScalingReplicaSet"}
            assert messages == {f"Scaled up replica set {replica_set['metadata']['name']} from 0 to 3"}
            assert sum(event["reason"] == "Scheduled" for event in events) == 3

    play(story())


def test_a_rollout_never_has_fewer_or_more_pods_than_its_strategy_allows() -> None:
    async def story(surge: int | str, unavailable: int | str, least: int, most: int) -> None:
        async with World() as world:
            rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
            await world.client.create(DEPLOYMENTS, web(4, strategy={"type": "RollingUpdate", "rollingUpdate": rolling}))
            await world.until(complete)
            seen: list[tuple[int, int]] = []
            informer = Informer(world.client, PODS)

            def count(*_: object) -> None:
                alive = [p for p in informer.objects.values() if not p["metadata"].get("deletionTimestamp")]
                seen.append((sum(map(pod_ready, alive)), len(alive)))

            task = asyncio.ensure_future(informer.run())
            await informer.synced.wait()
            informer.add_handler(count)
            seen.clear()
            await world.client.update(DEPLOYMENTS, {**await world.deployment(), "spec": web(4, "v2", strategy={
                "type": "RollingUpdate", "rollingUpdate": rolling})["spec"]})  # fmt: skip
            await world.until(lambda d: complete(d) and d["metadata"]["generation"] == 2)
            task.cancel()
            assert min(ready for ready, _ in seen) >= least
            assert max(total for _, total in seen) <= most
            assert {p["spec"]["containers"][0]["image"] for p in await world.pods()} == {"v2"}

    for surge, unavailable, least, most in ((0, 1, 3, 4), (1, 0, 4, 5), ("25%", "25%", 3, 5), (2, 2, 2, 6)):
        play(story(surge, unavailable, least, most))


def test_a_rollout_to_a_version_that_never_gets_ready_stops_and_a_rollback_reuses_the_old_replica_set() -> None:
    async def story() -> None:
        async with World() as world:
            strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
            first = web(3, strategy=strategy, progressDeadlineSeconds=1)
            await world.client.create(DEPLOYMENTS, first)
            await world.until(complete)
            world.broken.add("bad")
            await world.client.patch(DEPLOYMENTS, "web", {"spec": web(3, "bad")["spec"]}, "system")
            stuck = await world.until(
                lambda d: (condition(d, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded"
            )
            assert stuck["status"]["availableReplicas"] == 2
            await world.client.patch(DEPLOYMENTS, "web", {"spec": web(3)["spec"]}, "system")
            back = await world.until(lambda d: complete(d) and d["metadata"]["generation"] == 3)
            assert back["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
            assert len((await world.client.list(REPLICA_SETS, "system")).items) == 2

    play(story())


def test_scaling_up_and_down_converges() -> None:
    async def story() -> None:
        async with World() as world:
            await world.client.create(DEPLOYMENTS, web(2))
            await world.until(complete)
            for replicas in (6, 1, 0, 3):
                await world.change(DEPLOYMENTS, "web", replicas=replicas)
                await world.until(lambda d, n=replicas: complete(d) and d["spec"]["replicas"] == n)  # type: ignore[misc]
                assert len(await world.pods()) == replicas

    play(story())


def test_a_deleted_pod_is_replaced() -> None:
    async def story() -> None:
        async with World() as world:
            await world.client.create(DEPLOYMENTS, web(2))
            await world.until(complete)
            victim = (await world.pods())[0]["metadata"]["name"]
            await world.client.delete(PODS, victim, "system")
            async with asyncio.timeout(5):
                while victim in (names := {p["metadata"]["name"] for p in await world.pods()}) or len(names) != 2:
                    await asyncio.sleep(0.005)

    play(story())


def test_deleting_a_deployment_takes_its_replica_sets_and_pods_with_it() -> None:
    async def story() -> None:
        async with World() as world:
            await world.client.create(DEPLOYMENTS, web(2))
            await world.until(complete)
            await world.client.delete(DEPLOYMENTS, "web", "system")
            async with asyncio.timeout(5):
                while (await world.client.list(REPLICA_SETS, "system")).items or await world.pods():
                    await asyncio.sleep(0.005)

    play(story())


def test_a_service_lists_ready_pods_as_ready_endpoints_only() -> None:
    async def story() -> None:
        async with World() as world:
            world.broken.add("bad")
            service = {
                "metadata": {"name": "web", "namespace": "system"},
                "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]},
            }
            await world.client.create(SERVICES, service)
            await world.client.create(DEPLOYMENTS, web(2))
            await world.until(complete)
            strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            await world.client.patch(DEPLOYMENTS, "web", {"spec": web(2, "bad", strategy=strategy)["spec"]}, "system")
            async with asyncio.timeout(5):
                while True:
                    (found,) = (await world.client.list(ENDPOINT_SLICES, "system")).items or [{}]
                    conditions = [e["conditions"]["ready"] for e in found.get("endpoints") or []]
                    if sorted(conditions) == [False, True, True]:
                        break
                    await asyncio.sleep(0.005)
            legacy = await world.client.get(ENDPOINTS, "web", "system")
            (subset,) = legacy["subsets"]
            assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (2, 1)
            assert subset["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP"}]

    play(story())


def test_a_namespace_gets_its_default_service_account() -> None:
    async def story() -> None:
        async with World() as world:
            await world.client.create(NAMESPACES, {"metadata": {"name": "other"}})
            async with asyncio.timeout(5):
                while True:
                    listed = await world.client.list(SERVICE_ACCOUNTS, "other")
                    if [o["metadata"]["name"] for o in listed.items] == ["default"]:
                        return
                    await asyncio.sleep(0.005)

    play(story())
