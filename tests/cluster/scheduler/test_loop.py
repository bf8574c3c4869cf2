"""The scheduler at work: it binds, explains, retries when something is freed, and never over-commits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.embedded.meta import condition_of
from cluster.embedded.resources import EVENTS, NODES, PERSISTENT_VOLUME_CLAIMS, PODS
from cluster.embedded.scheduler import run_scheduler
from cluster.embedded.scheduler.loop import node_states, waits
from cluster.embedded.scheduler.resources import allocatable_of
from tests.cluster.controllers.world import NAMESPACE, World

GPU = "nvidia.com/gpu"
TAKEN = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
    "0/1 nodes are available: 1 No preemption victims found for incoming pod."
)


def node(name: str, **allocatable: str) -> Any:
    has = {"cpu": "16", "memory": "64Gi", "pods": "110", GPU: "4", **allocatable}
    return {"metadata": {"name": name}, "spec": {}, "status": {"allocatable": has}}


async def add_node(world: World, obj: Any) -> None:
    """A node that is ready: without the taint that admission gives to every new one."""
    await world.create(NODES, obj)
    await world.client.patch(NODES, obj["metadata"]["name"], {"spec": {"taints": None}})


def pod(name: str, limits: Any, **spec: Any) -> Any:
    container = {"name": "c", "image": "i", "resources": {"limits": limits}}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"containers": [container], **spec}}


def run(body: Callable[[World], Awaitable[None]], lag: int = 0) -> None:
    async def main() -> None:
        world = World(lag=lag)
        task = asyncio.create_task(run_scheduler(world.client))
        try:
            await body(world)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


async def _node_of(world: World, name: str) -> str | None:
    return (await world.client.get(PODS, name, NAMESPACE))["spec"].get("nodeName")


async def _events(world: World, reason: str) -> list[Any]:
    """Events with that reason, once there are some and nobody writes any more."""

    async def found() -> list[Any]:
        return [event for event in (await world.client.list(EVENTS)).items if event["reason"] == reason]

    async def there() -> bool:
        return bool(await found())

    await world.until(there)
    await world.quiet()
    return await found()


def test_gpus_are_counted_and_a_freed_one_goes_to_the_pod_that_waits() -> None:
    async def body(world: World) -> None:
        await add_node(world, node("gpu-node-1"))
        for name in ("a", "b", "c"):
            await world.create(PODS, pod(name, {GPU: "2"}))
            await world.quiet()
        assert [await _node_of(world, name) for name in "abc"] == ["gpu-node-1", "gpu-node-1", None]
        condition = condition_of(await world.client.get(PODS, "c", NAMESPACE), "PodScheduled")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        assert condition["message"] == TAKEN
        (failed,) = await _events(world, "FailedScheduling")
        assert (failed["message"], failed["type"], failed["action"]) == (TAKEN, "Warning", "Scheduling")
        (bound, _) = await _events(world, "Scheduled")
        assert bound["message"] == f"Successfully assigned system/{bound['involvedObject']['name']} to gpu-node-1"
        assert bound["action"] == "Binding"

        await world.client.delete(PODS, "a", NAMESPACE)  # terminating: still holds its GPUs
        await world.quiet()
        assert await _node_of(world, "c") is None
        await world.client.delete(PODS, "a", NAMESPACE, grace_period_seconds=0)
        await world.quiet()
        assert await _node_of(world, "c") == "gpu-node-1"

    run(body)


def test_a_finished_pod_holds_nothing() -> None:
    async def body(world: World) -> None:
        await add_node(world, node("n"))
        await world.create(PODS, pod("a", {GPU: "4"}))
        await world.create(PODS, pod("b", {GPU: "4"}))
        await world.quiet()
        patch = {"status": {"phase": "Succeeded"}}
        await world.client.patch(PODS, "a", patch, NAMESPACE, subresource="status")
        await world.quiet()
        assert await _node_of(world, "b") == "n"

    run(body)


def test_a_node_that_appears_grows_or_is_uncordoned_is_used() -> None:
    async def body(world: World) -> None:
        await world.create(PODS, pod("a", {GPU: "8"}))
        (failed,) = await _events(world, "FailedScheduling")
        assert failed["message"] == "no nodes available to schedule pods"
        await add_node(world, node("n"))
        await world.quiet()
        assert await _node_of(world, "a") is None
        cordon = {"spec": {"unschedulable": True}}
        await world.client.patch(NODES, "n", cordon)
        grown = {"status": {"allocatable": {GPU: "8"}}}
        await world.client.patch(NODES, "n", grown, subresource="status")
        await world.quiet()
        assert await _node_of(world, "a") is None
        await world.client.patch(NODES, "n", {"spec": {"unschedulable": None}})
        await world.quiet()
        assert await _node_of(world, "a") == "n"

    run(body)


def test_a_heartbeat_does_not_start_another_try() -> None:
    async def body(world: World) -> None:
        await add_node(world, node("n"))
        await world.create(PODS, pod("a", {GPU: "8"}))
        await world.quiet()
        version = world.store.version
        beat = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await world.client.patch(NODES, "n", beat, subresource="status")
        await world.quiet()
        assert world.store.version == version + 1

    run(body)


def test_a_gated_pod_waits_for_its_gates() -> None:
    async def body(world: World) -> None:
        await add_node(world, node("n"))
        await world.create(PODS, pod("a", {}, schedulingGates=[{"name": "g"}]))
        await world.quiet()
        assert await _node_of(world, "a") is None
        await world.client.patch(PODS, "a", {"spec": {"schedulingGates": None}}, NAMESPACE)
        await world.quiet()
        assert await _node_of(world, "a") == "n"

    run(body)


def test_a_claim_that_does_not_exist_is_named() -> None:
    async def body(world: World) -> None:
        await add_node(world, node("n"))
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "nosuch"}}
        await world.create(PODS, pod("a", {}, volumes=[volume]))
        (failed,) = await _events(world, "FailedScheduling")
        assert failed["message"] == ('0/1 nodes are available: persistentvolumeclaim "nosuch" not found. not found')
        claim = {"metadata": {"name": "nosuch", "namespace": NAMESPACE}, "spec": {"accessModes": ["ReadWriteOnce"]}}
        claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
        await world.create(PERSISTENT_VOLUME_CLAIMS, claim)
        messages = {event["message"] for event in await _events(world, "FailedScheduling")}
        assert "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found" in messages
        bound = {"spec": {"volumeName": "disk"}}
        await world.client.patch(PERSISTENT_VOLUME_CLAIMS, "nosuch", bound, NAMESPACE)
        await _events(world, "Scheduled")
        assert (await world.client.get(PODS, "a", NAMESPACE))["spec"]["nodeName"] == "n"

    run(body)


def test_the_higher_priority_goes_first() -> None:
    async def body(world: World) -> None:
        await world.create(PODS, pod("low", {GPU: "4"}, priority=1))
        await world.create(PODS, pod("high", {GPU: "4"}, priority=9))
        await world.quiet()
        await add_node(world, node("n"))
        await world.quiet()
        assert await _node_of(world, "high") == "n"
        assert await _node_of(world, "low") is None

    run(body)


_ASKS = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from(["100m", "1", "1500m", "3"]),
        "memory": st.sampled_from(["64Mi", "1Gi", "3Gi"]),
        GPU: st.integers(0, 3).map(str),
    }
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), _ASKS),
        st.tuples(st.sampled_from(["delete", "terminate", "finish"]), st.integers(0, 20)),
        st.tuples(st.just("yield"), st.integers(0, 60)),
    ),
    max_size=40,
)


async def _do(world: World, number: int, step: tuple[str, Any]) -> None:
    kind, value = step
    if kind == "create":
        await world.create(PODS, pod(f"p{number}", value))
    elif kind == "yield":
        await world.turns(value)
    elif pods := await world.pods():
        name = pods[value % len(pods)]["metadata"]["name"]
        if kind == "finish":
            await world.client.patch(PODS, name, {"status": {"phase": "Failed"}}, NAMESPACE, subresource="status")
        else:
            grace = 0 if kind == "delete" else None
            await world.client.delete(PODS, name, NAMESPACE, grace_period_seconds=grace)


async def _assert_not_over_committed(world: World) -> None:
    for state in node_states((await world.client.list(NODES)).items, await world.pods()):
        has = allocatable_of(state.node)
        assert all(value <= has.get(name, 0) for name, value in state.used.items()), state.used


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_STEPS, st.integers(0, 6))
def test_no_resource_is_ever_over_committed(steps: list[tuple[str, Any]], lag: int) -> None:
    async def body(world: World) -> None:
        await add_node(world, node("n1", cpu="4", memory="6Gi", pods="5"))
        await add_node(world, node("n2", cpu="8", memory="4Gi", pods="3"))
        for number, step in enumerate(steps):
            await _do(world, number, step)
            await _assert_not_over_committed(world)
        await world.turns(400)
        await _assert_not_over_committed(world)
        waiting = [p for p in await world.pods() if not p["spec"].get("nodeName")]
        assert all(condition_of(p, "PodScheduled") or not waits(p) for p in waiting), "a pod was forgotten"

    run(body, lag)


def test_pods_that_arrive_together_are_not_placed_on_the_same_gpus() -> None:
    async def body(world: World) -> None:
        await add_node(world, node("n"))
        for number in range(5):
            await world.create(PODS, pod(f"p{number}", {GPU: "1"}))
        await world.quiet()
        await _assert_not_over_committed(world)
        assert sum(bool(p["spec"].get("nodeName")) for p in await world.pods()) == 4

    run(body, lag=5)
