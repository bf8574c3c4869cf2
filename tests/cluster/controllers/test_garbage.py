"""Objects follow their owners, in the way the deletion asked for."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cluster.embedded.client import ApiError
from cluster.embedded.meta import is_deleted, owners_of
from cluster.embedded.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, REPLICA_SETS, SECRETS, SERVICE_ACCOUNTS
from tests.cluster.controllers.world import NAMESPACE, World, deployment, run


def _map(name: str, *owners: Any, **reference: Any) -> Any:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": o["metadata"]["name"],
            "uid": o["metadata"]["uid"],
            **reference,
        }
        for o in owners
    ]
    return {"metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": references}}


async def _names(world: World) -> set[str]:
    await world.quiet()
    return {o["metadata"]["name"] for o in (await world.client.list(CONFIG_MAPS, NAMESPACE)).items}


@pytest.mark.parametrize("lag", [0, 5])
def test_a_background_deletion_takes_replica_sets_and_pods_along(lag: int) -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment())
        await world.available(3)
        await world.client.delete(DEPLOYMENTS, "web", NAMESPACE, propagation="Background")
        await world.quiet()
        assert (await world.sets(), await world.pods()) == ([], [])

    run(body, lag=lag)


def test_a_foreground_deletion_waits_for_the_pods() -> None:
    async def body(world: World) -> None:
        world.kubelet.stops = lambda pod: False
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        await world.client.delete(DEPLOYMENTS, "web", NAMESPACE, propagation="Foreground")
        await world.quiet()
        assert is_deleted(await world.deployment())
        (rs,) = await world.sets()
        assert rs["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert all(map(is_deleted, await world.pods()))
        assert rs["status"]["terminatingReplicas"] == 2
        world.kubelet.stops = lambda pod: True
        world.kubelet.look_again()
        await world.quiet()
        assert (await world.sets(), await world.pods()) == ([], [])
        with pytest.raises(ApiError):
            await world.deployment()

    run(body)


def test_an_orphaning_deletion_leaves_the_pods_running() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        await world.client.delete(DEPLOYMENTS, "web", NAMESPACE, propagation="Orphan")
        await world.quiet()
        (rs,) = await world.sets()
        assert owners_of(rs) == []
        assert len(await world.pods()) == 2
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        (rs,) = (await world.client.list(REPLICA_SETS, NAMESPACE)).items
        assert owners_of(rs)[0]["uid"] == (await world.deployment())["metadata"]["uid"]

    run(body)


def test_an_owner_that_never_was_is_no_owner() -> None:
    async def body(world: World) -> None:
        owner = await world.create(CONFIG_MAPS, _map("owner"))
        stranger = {"metadata": {"name": "owner", "uid": str(uuid.uuid4())}}
        await world.create(CONFIG_MAPS, _map("kept", owner))
        await world.create(CONFIG_MAPS, _map("both", owner, stranger))
        await world.create(CONFIG_MAPS, _map("dangling", stranger))
        assert await _names(world) == {"owner", "kept", "both"}
        both = await world.client.get(CONFIG_MAPS, "both", NAMESPACE)
        assert [ref["uid"] for ref in owners_of(both)] == [owner["metadata"]["uid"]]

    run(body)


def test_the_foreground_waits_only_for_what_blocks() -> None:
    async def body(world: World) -> None:
        owner = await world.create(CONFIG_MAPS, _map("owner"))
        held = _map("held", owner, blockOwnerDeletion=True)
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await world.create(CONFIG_MAPS, held)
        await world.create(CONFIG_MAPS, _map("free", owner))
        await world.quiet()
        await world.client.delete(CONFIG_MAPS, "owner", NAMESPACE, propagation="Foreground")
        assert await _names(world) == {"owner", "held"}
        await world.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, NAMESPACE)
        assert await _names(world) == set()

    run(body)


def test_a_namespace_starts_with_its_account_and_root_certificate() -> None:
    async def body(world: World) -> None:
        await world.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        assert await _names(world) == {"kube-root-ca.crt"}
        root = await world.client.get(CONFIG_MAPS, "kube-root-ca.crt", NAMESPACE)
        assert root["data"] == {"ca.crt": "PEM"}
        await world.client.get(SERVICE_ACCOUNTS, "default", NAMESPACE)
        await world.client.delete(CONFIG_MAPS, "kube-root-ca.crt", NAMESPACE)
        assert await _names(world) == {"kube-root-ca.crt"}

    run(body)


def test_a_terminating_namespace_is_emptied_before_it_may_go() -> None:
    async def body(world: World) -> None:
        made = {
            "metadata": {"name": NAMESPACE, "finalizers": ["test/hold"]},
            "spec": {"finalizers": ["kubernetes"]},
        }
        await world.create(NAMESPACES, made)
        await world.create(SECRETS, {"metadata": {"name": "s", "namespace": NAMESPACE}})
        world.kubelet.stops = lambda pod: False
        await world.create(DEPLOYMENTS, deployment(replicas=1))
        await world.available(1)
        await world.client.delete(NAMESPACES, NAMESPACE)
        await world.quiet()
        assert (await world.client.list(SECRETS, NAMESPACE)).items == []
        assert all(map(is_deleted, await world.pods()))
        assert (await world.client.get(NAMESPACES, NAMESPACE))["spec"]["finalizers"] == ["kubernetes"]
        world.kubelet.stops = lambda pod: True
        world.kubelet.look_again()

        async def released() -> bool:
            return not (await world.client.get(NAMESPACES, NAMESPACE))["spec"].get("finalizers")

        await world.until(released)
        assert await _names(world) == set()

    run(body)
