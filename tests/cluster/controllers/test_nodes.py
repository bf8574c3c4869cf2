"""A node that is lost is tainted, its pods are not ready, and what does not tolerate that goes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded.controllers.node_health import evict_taints, evicts, schedule_taints, seconds_tolerated
from cluster.embedded.meta import condition_of, is_deleted, now_micro
from cluster.embedded.resources import LEASES, NODES, PODS
from tests.cluster.controllers.world import NAMESPACE, World, is_ready, run

UNREACHABLE = "node.kubernetes.io/unreachable"


def node(name: str, ready: str | None = "True", **spec: Any) -> Any:
    conditions = [{"type": "Ready", "status": ready, "reason": "x"}] if ready else []
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def pod(name: str, *tolerations: Any) -> Any:
    containers = [{"name": "c", "image": "i"}]
    spec = {"containers": containers, "nodeName": "n1", "tolerations": list(tolerations)}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def tolerating(seconds: int | None) -> Any:
    toleration = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
    return toleration if seconds is None else {**toleration, "tolerationSeconds": seconds}


def _keys(taints: list[Any]) -> list[tuple[str, str]]:
    return [(taint["key"].removeprefix("node.kubernetes.io/"), taint["effect"]) for taint in taints]


@pytest.mark.parametrize(
    ("obj", "schedule", "evict"),
    [
        (node("n"), [], []),
        (node("n", None), [], []),
        (node("n", "False"), [("not-ready", "NoSchedule")], [("not-ready", "NoExecute")]),
        (node("n", "Unknown"), [("unreachable", "NoSchedule")], [("unreachable", "NoExecute")]),
        (node("n", unschedulable=True), [("unschedulable", "NoSchedule")], []),
    ],
)
def test_taints_follow_the_conditions(obj: Any, schedule: list[Any], evict: list[Any]) -> None:
    assert _keys(schedule_taints(obj)) == schedule
    assert _keys(evict_taints(obj, evict=True)) == evict
    assert evict_taints(obj, evict=False) == []


def test_taints_of_others_stay_and_old_own_ones_go() -> None:
    obj = node("n", taints=[{"key": "gpu", "effect": "NoSchedule"}, {"key": UNREACHABLE, "effect": "NoExecute"}])
    assert [taint["key"] for taint in evict_taints(obj, evict=True)] == ["gpu"]
    assert schedule_taints(obj) == obj["spec"]["taints"]


def test_nobody_is_evicted_when_all_nodes_are_lost() -> None:
    assert evicts([node("a"), node("b", "Unknown")])
    assert not evicts([node("a", "Unknown")])
    assert not evicts([node("a"), *[node(f"b{n}", "False") for n in range(3)]])


def test_the_shortest_toleration_counts() -> None:
    obj = node("n", taints=[{"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": now_micro()}])
    assert seconds_tolerated(pod("p"), obj) == 0
    assert seconds_tolerated(pod("p", tolerating(None)), obj) is None
    assert seconds_tolerated(pod("p", tolerating(300), tolerating(60)), obj) == 60


def test_a_node_whose_lease_is_not_renewed_is_lost_and_comes_back() -> None:
    async def body(world: World) -> None:
        world.kubelet.stops = lambda obj: False
        lease = {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"renewTime": now_micro()}}
        await world.create(NODES, node("n1"))
        await world.create(NODES, node("n2"))
        for name, seconds in (("goes", 0), ("stays", None)):
            await world.create(PODS, pod(name, tolerating(seconds)))
        await world.create(LEASES, lease)
        await world.quiet()
        assert all(map(is_ready, await world.pods()))
        world.kubelet.becomes_ready = lambda obj: False

        async def lost() -> bool:
            return is_deleted(await world.client.get(PODS, "goes", NAMESPACE))

        await world.until(lost)
        await world.quiet()
        found = await world.client.get(NODES, "n1")
        condition = condition_of(found, "Ready")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert condition["message"] == "Kubelet stopped posting node status."
        assert _keys(found["spec"]["taints"]) == [("unreachable", "NoExecute"), ("unreachable", "NoSchedule")]
        stays = await world.client.get(PODS, "stays", NAMESPACE)
        assert not is_ready(stays)
        assert not is_deleted(stays)
        assert "Node is not ready" in await world.messages("NodeNotReady")
        assert await world.messages("TaintManagerEviction") == ["Marking for deletion Pod system/goes"]
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}
        await world.client.patch(LEASES, "n1", {"spec": {"renewTime": now_micro()}}, "kube-node-lease")
        await world.client.patch(NODES, "n1", ready, subresource="status")

        async def clean() -> bool:
            return not (await world.client.get(NODES, "n1"))["spec"].get("taints")

        await world.until(clean)

    run(body, node_grace_seconds=0.3)


def test_a_cordoned_node_carries_the_taint() -> None:
    async def body(world: World) -> None:
        await world.create(NODES, node("n1", unschedulable=True))
        await world.quiet()
        taints = (await world.client.get(NODES, "n1"))["spec"]["taints"]
        assert _keys(taints) == [("unschedulable", "NoSchedule")]
        await world.client.patch(NODES, "n1", {"spec": {"unschedulable": None}})
        await world.quiet()
        assert "taints" not in (await world.client.get(NODES, "n1"))["spec"]

    run(body)


def test_a_node_that_says_it_is_not_ready_is_closed_at_once_and_emptied_later_as_recorded() -> None:
    async def body(world: World) -> None:
        await world.create(NODES, node("n1"))
        await world.create(NODES, node("n2"))
        await world.create(
            PODS, pod("p", tolerating(None), {**tolerating(None), "key": "node.kubernetes.io/not-ready"})
        )
        await world.quiet()
        bad = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]}}
        await world.client.patch(NODES, "n1", bad, subresource="status")
        await world.quiet()
        assert _keys((await world.client.get(NODES, "n1"))["spec"]["taints"]) == [("not-ready", "NoSchedule")]

        async def closed() -> bool:
            return len((await world.client.get(NODES, "n1"))["spec"]["taints"]) == 2

        await world.until(closed)
        assert _keys((await world.client.get(NODES, "n1"))["spec"]["taints"])[1] == ("not-ready", "NoExecute")
        assert await world.messages("NodeNotReady") == []
        (running,) = await world.pods()
        assert is_ready(running)

    run(body, settings={"node_monitor_seconds": 0.5})


def test_a_posted_status_is_a_sign_of_life_too() -> None:
    async def body(world: World) -> None:
        lease = {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"renewTime": now_micro()}}
        await world.create(NODES, node("n1"))
        await world.create(LEASES, lease)

        async def lost() -> bool:
            condition = condition_of(await world.client.get(NODES, "n1"), "Ready")
            return condition is not None and condition["status"] == "Unknown"

        await world.until(lost)
        posted = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        }
        await world.client.patch(NODES, "n1", {"status": {"conditions": [posted]}}, subresource="status")
        await world.turns(50)
        assert not await lost()
        await world.until(lost)

    run(body, node_grace_seconds=0.2)
