"""A cluster by its kubeconfig is left as it was found, and its own nodes are kept out of the replay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clients.errors import EnvironmentUnusable
from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
from cluster.embedded.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS
from tests.cluster.envtest.test_both_transports_keep_one_contract import TOKEN, config_map, node, pod, served
from tests.conformance.api import target
from tests.conformance.api.borrowed import borrowed
from tests.conformance.api.http import Observer


def test_what_came_goes_and_what_was_there_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(30), served(tmp_path) as (registry, _, _):
            client = LocalClient(registry)
            await client.create(NODES, node("own"))
            await client.create(CONFIG_MAPS, config_map("kept"))
            async with target.existing(str(tmp_path / "kubeconfig")) as http:
                assert http.token == TOKEN
                observer = Observer(http)
                at_work = [
                    asyncio.create_task(observer.run()),
                    asyncio.create_task(run_controllers(client, ControllerSettings(ca_pem="CA"))),
                ]
                async with borrowed(http, observer, {"gpu-node-1"}):
                    assert (await client.get(NODES, "own"))["spec"]["unschedulable"] is True
                    await target.register_node(http)
                    await client.create(NAMESPACES, {"metadata": {"name": "system"}})
                    played = pod("p")
                    played["spec"]["nodeName"] = "gpu-node-1"
                    await client.create(PODS, played)
                    await client.create(CONFIG_MAPS, config_map("new", "system"))
                    await client.create(CONFIG_MAPS, config_map("new"))
                for task in at_work:
                    task.cancel()
                await asyncio.gather(*at_work, return_exceptions=True)
            (left,) = (await client.list(NODES)).items
            assert (left["metadata"]["name"], left["spec"].get("unschedulable")) == ("own", None)
            assert (await client.list(PODS)).items == []
            assert "system" not in {each["metadata"]["name"] for each in (await client.list(NAMESPACES)).items}
            named = {each["metadata"]["name"] for each in (await client.list(CONFIG_MAPS, "default")).items}
            assert named - {"kube-root-ca.crt"} == {"kept"}

    asyncio.run(scenario())


def test_a_node_with_the_name_of_a_played_one_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (registry, _, _):
            await LocalClient(registry).create(NODES, node("gpu-node-1"))
            async with target.existing(str(tmp_path / "kubeconfig")) as http:
                with pytest.raises(EnvironmentUnusable, match="a node gpu-node-1 of its own"):
                    async with borrowed(http, Observer(http), {"gpu-node-1"}):
                        pass

    asyncio.run(scenario())
