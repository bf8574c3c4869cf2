"""Virtual nodes: they register, stay alive, and play a pod's life to the API as a kubelet would."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from clients.errors import InputError
from cluster.embedded.config import ClusterConfig, VirtualNodesConfig
from cluster.embedded.meta import condition_of, has_condition
from cluster.embedded.resources import DEPLOYMENTS, LEASES, NODES, PODS, Object
from tests.cluster.controllers.world import NAMESPACE, deployment, is_ready
from tests.cluster.virtual.world import VirtualWorld, run


async def all_ready(world: VirtualWorld, count: int) -> list[Object]:
    async def ready() -> bool:
        pods = await world.pods()
        return len(pods) == count and all(is_ready(pod) for pod in pods)

    await world.until(ready, 20)
    return await world.pods()


def test_the_nodes_register_with_their_capacity_and_stay_alive() -> None:
    async def body(world: VirtualWorld) -> None:
        async def untainted() -> bool:
            nodes = (await world.client.list(NODES)).items
            return len(nodes) == 3 and not any(node["spec"].get("taints") for node in nodes)

        await world.until(untainted)
        nodes = (await world.client.list(NODES)).items
        assert [node["metadata"]["name"] for node in nodes] == ["v-0", "v-1", "v-2"]
        for node in nodes:
            assert has_condition(node, "Ready")
            assert node["status"]["allocatable"]["pods"] == "7"
            assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
            assert node["metadata"]["labels"]["type"] == "virtual"
        assert len({node["status"]["addresses"][0]["address"] for node in nodes}) == 3
        leases = (await world.client.list(LEASES, "kube-node-lease")).items
        assert [lease["spec"]["holderIdentity"] for lease in leases] == ["v-0", "v-1", "v-2"]

    run(body, count=3, pods="7", gpus=2, name_prefix="v-")


def test_pods_of_a_deployment_run_and_are_spread() -> None:
    async def body(world: VirtualWorld) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=30))
        pods = await all_ready(world, 30)
        spread = Counter(pod["spec"]["nodeName"] for pod in pods)
        assert spread == {f"virtual-node-{number}": 10 for number in range(3)}
        assert len({pod["status"]["podIP"] for pod in pods}) == 30
        status = pods[0]["status"]
        assert status["phase"] == "Running"
        (container,) = status["containerStatuses"]
        assert set(container["state"]) == {"running"}
        assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready", "PodReadyToStartContainers"):
            assert has_condition(pods[0], kind), kind

    run(body, count=3)


def test_a_pod_is_pending_with_its_containers_creating_before_it_runs() -> None:
    async def body(world: VirtualWorld) -> None:
        version = (await world.client.list(PODS)).resource_version
        seen: list[Object] = []
        await world.create(DEPLOYMENTS, deployment(replicas=1))
        async with asyncio.timeout(10):
            async for event in world.client.watch(PODS, resource_version=version):
                seen.append(event.object)
                if is_ready(event.object):
                    break
        creating = next(pod for pod in seen if "containerStatuses" in pod["status"])
        assert creating["status"]["phase"] == "Pending"
        assert creating["status"]["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
        assert "podIP" not in creating["status"]
        assert (condition_of(creating, "Ready") or {})["reason"] == "ContainersNotReady"
        assert seen[-1]["status"]["startTime"] == creating["status"]["startTime"]

    run(body, ready_after_seconds=0.05)


def test_ready_comes_after_the_time_it_should_take() -> None:
    async def body(world: VirtualWorld) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await world.create(DEPLOYMENTS, deployment(replicas=5))
        await all_ready(world, 5)
        assert loop.time() - before >= 0.4

    run(body, ready_after_seconds=0.4)


def test_deleted_pods_go_at_once_and_give_their_address_back() -> None:
    async def body(world: VirtualWorld) -> None:
        await world.create(DEPLOYMENTS, deployment(replicas=4))
        before = {pod["metadata"]["uid"] for pod in await all_ready(world, 4)}
        assert world.addresses.holders == before
        for pod in await world.pods():
            await world.client.delete(PODS, pod["metadata"]["name"], NAMESPACE)

        async def replaced() -> bool:
            uids = {pod["metadata"]["uid"] for pod in await world.pods()}
            return len(uids) == 4 and not uids & before

        await world.until(replaced)
        after = {pod["metadata"]["uid"] for pod in await all_ready(world, 4)}
        assert world.addresses.holders == after

    run(body)


def test_init_containers_have_ended_and_a_changed_image_is_reported() -> None:
    async def body(world: VirtualWorld) -> None:
        container = {"name": "c", "image": "i:1"}
        spec = {
            "nodeName": "virtual-node-0",
            "initContainers": [{"name": "i", "image": "i"}],
            "containers": [container],
        }
        await world.create(PODS, {"metadata": {"name": "p", "namespace": NAMESPACE}, "spec": spec})
        (pod,) = await all_ready(world, 1)
        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        images = {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}
        await world.client.patch(PODS, "p", images, NAMESPACE, patch_type="strategic")

        async def reported() -> bool:
            (pod,) = await world.pods()
            return bool(pod["status"]["containerStatuses"][0]["image"] == "i:2")

        await world.until(reported)
        assert (await world.pods())[0]["status"]["observedGeneration"] == 2

    run(body)


def test_pods_of_other_nodes_are_left_alone() -> None:
    async def body(world: VirtualWorld) -> None:
        for name, node in (("mine", "virtual-node-0"), ("other", "elsewhere")):
            spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}
            await world.create(PODS, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})

        async def runs() -> bool:
            return is_ready(await world.client.get(PODS, "mine", NAMESPACE))

        await world.until(runs)
        await world.quiet()
        other = await world.client.get(PODS, "other", NAMESPACE)
        assert other["status"] == {"phase": "Pending", "qosClass": "BestEffort"}

    run(body)


def test_the_config_file_names_them(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("virtual_nodes: {count: 100, cpu: 64, pods: 250, ready_after_seconds: 0.5}")
    expected = VirtualNodesConfig(count=100, cpu="64", pods="250", ready_after_seconds=0.5)
    assert ClusterConfig.load(path).virtual_nodes == expected
    path.write_text("{}")
    assert ClusterConfig.load(path).virtual_nodes is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{count: 0}", "virtual_nodes.count"),
        ("{count: many}", "virtual_nodes.count"),
        ("{gpus: -1}", "virtual_nodes.gpus"),
        ("{ready_after_seconds: -1}", "virtual_nodes.ready_after_seconds"),
        ("{name_prefix: 3}", "virtual_nodes.name_prefix"),
        ("{nodes: 3}", "virtual_nodes"),
        ("[]", "virtual_nodes"),
    ],
)
def test_what_the_config_file_cannot_say(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(f"virtual_nodes: {text}")
    with pytest.raises(InputError) as raised:
        ClusterConfig.load(path)
    assert where in str(raised.value)
