"""A node that is lost is tainted, its pods are not ready, and what does not tolerate that goes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded.controllers.node_health import evicts, seconds_to_eviction, tainted
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
    ("obj", "evict", "expected"),
    [
        (node("n"), True, []),
        (node("n", None), True, []),
        (node("n", "False"), True, [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")]),
        (node("n", "Unknown"), False, [("unreachable", "NoSchedule")]),
        (node("n", unschedulable=True), True, [("unschedulable", "NoSchedule")]),
    ],
)
def test_taints_follow_the_conditions(obj: Any, evict: bool, expected: list[tuple[str, str]]) -> None:
    assert _keys(tainted(obj, evict=evict)) == expected


def test_taints_of_others_stay_and_old_own_ones_go() -> None:
    obj = node("n", taints=[{"key": "gpu", "effect": "NoSchedule"}, {"key": UNREACHABLE, "effect": "NoExecute"}])
    assert [taint["key"] for taint in tainted(obj, evict=True)] == ["gpu"]


def test_nobody_is_evicted_when_all_nodes_are_lost() -> None:
    assert evicts([node("a"), node("b", "Unknown")])
    assert not evicts([node("a", "Unknown")])
    assert not evicts([node("a"), *[node(f"b{n}", "False") for n in range(3)]])


def test_the_shortest_toleration_counts() -> None:
    obj = node("n", taints=[{"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": now_micro()}])
    assert seconds_to_eviction(pod("p"), obj) == 0
    assert seconds_to_eviction(pod("p", tolerating(None)), obj) is None
    wait = seconds_to_eviction(pod("p", tolerating(300), tolerating(60)), obj)
    assert wait == pytest.approx(60, abs=1)


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
        assert _keys(found["spec"]["taints"]) == [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]
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
