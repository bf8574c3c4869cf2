"""A ReplicaSet has as many pods as asked for, whatever its cache knows, and lets the right ones go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.embedded.controllers.pods import to_delete
from cluster.embedded.meta import controller_of
from cluster.embedded.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from tests.cluster.controllers.world import NAMESPACE, World, deployment, run

OLD, NEW = "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def pod(name: str, **kind: Any) -> Any:
    """A running, ready, old pod on node n, unless said otherwise."""
    ready = {"type": "Ready", "status": str(kind.get("ready", True)), "lastTransitionTime": OLD}
    metadata: dict[str, Any] = {"name": name, "uid": name, "creationTimestamp": kind.get("created", OLD)}
    if "cost" in kind:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": kind["cost"]}
    status = {
        "phase": kind.get("phase", "Running"),
        "conditions": [ready],
        "containerStatuses": [{"restartCount": kind.get("restarts", 0)}],
    }
    return {"metadata": metadata, "spec": {"nodeName": kind.get("node", "n")}, "status": status}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"node": ""}, {"phase": "Pending", "ready": False}),
        ({"phase": "Pending", "ready": False}, {"ready": False}),
        ({"ready": False}, {"cost": "-10"}),
        ({"cost": "-10"}, {"restarts": 5}),
        ({"restarts": 5}, {"created": NEW}),
        ({"created": NEW}, {}),
        ({"cost": "no number", "created": NEW}, {}),
    ],
)
def test_which_pod_goes_first(first: Any, second: Any) -> None:
    pods = [pod("a", **second), pod("z", **first)]
    assert [p["metadata"]["name"] for p in to_delete(pods, 1, [])] == ["z"]


def test_of_two_pods_on_one_node_one_goes_before_the_only_one_elsewhere() -> None:
    pods = [pod("a", node="n2"), pod("b", node="n1"), pod("c", node="n1")]
    assert to_delete(pods, 1, pods)[0]["spec"]["nodeName"] == "n1"


def test_pods_look_as_recorded() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=1))
        await world.available(1)
        (made,) = await world.pods()
        (rs,) = await world.sets()
        name = rs["metadata"]["name"]
        assert made["metadata"]["generateName"] == f"{name}-"
        assert made["metadata"]["name"].startswith(f"{name}-")
        assert made["metadata"]["labels"] == rs["spec"]["template"]["metadata"]["labels"]
        assert made["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "apps/v1",
                "blockOwnerDeletion": True,
                "controller": True,
                "kind": "ReplicaSet",
                "name": name,
                "uid": rs["metadata"]["uid"],
            }
        ]

    run(body)


def test_a_late_cache_does_not_make_it_create_or_delete_twice() -> None:
    async def body(world: World) -> None:
        created: list[int] = []
        await world.create(DEPLOYMENTS, deployment(replicas=5))
        for _ in range(300):
            await world.turns(1)
            created.append(len(await world.pods()))
        assert max(created) == 5
        await world.available(5)
        await world.change("web", replicas=2)
        smallest = 5
        for _ in range(300):
            await world.turns(1)
            smallest = min(smallest, len(await world.pods()))
        assert smallest == 2

    run(body, lag=7)


def test_orphans_are_adopted_and_strangers_released() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        (rs,) = await world.sets()
        released = (await world.pods())[0]["metadata"]["name"]
        await world.client.patch(PODS, released, {"metadata": {"labels": {"app": "else"}}}, NAMESPACE)
        await world.available(2)
        await world.quiet()
        assert controller_of(await world.client.get(PODS, released, NAMESPACE)) is None
        assert len(await world.pods()) == 3
        await world.client.patch(PODS, released, {"metadata": {"labels": {"app": "web"}}}, NAMESPACE)
        await world.quiet()
        assert len(await world.pods()) == 2
        assert all((controller_of(p) or {}).get("uid") == rs["metadata"]["uid"] for p in await world.pods())

    run(body)


def test_a_failed_pod_is_replaced() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=1))
        await world.available(1)
        (victim,) = await world.pods()
        patch = {"status": {"phase": "Failed"}}
        await world.client.patch(PODS, victim["metadata"]["name"], patch, NAMESPACE, subresource="status")
        await world.quiet()
        assert len(await world.pods()) == 2

    run(body)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40)), min_size=1, max_size=5), st.integers(0, 5))
def test_any_sequence_of_scaling_ends_at_the_last_size(steps: list[tuple[int, int]], lag: int) -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        for replicas, turns in steps:
            await world.change("web", replicas=replicas)
            await world.turns(turns)
        await world.available(steps[-1][0])
        (rs,) = (await world.client.list(REPLICA_SETS, NAMESPACE)).items
        assert rs["spec"]["replicas"] == steps[-1][0]

    run(body, lag=lag)
