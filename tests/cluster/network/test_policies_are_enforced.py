"""NetworkPolicies between processes: what is denied times out, by a Service and directly, on old connections too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.embedded.resources import NETWORK_POLICIES, PODS
from tests.cluster.network.world import Net, Pod, ask, eventually, network, play

WEB: dict[str, Any] = {"matchLabels": {"app": "web"}}
CLIENT: dict[str, Any] = {"matchLabels": {"app": "client"}}


async def two_pods(net: Net) -> tuple[Pod, Pod, list[tuple[str, int]]]:
    """A client, a server on port 8000, and the two ways there."""
    client, web = await asyncio.gather(net.pod("client-1", 1, app="client"), net.pod("web-1", 2, app="web"))
    await web.serve()
    return client, web, [(await net.service(100, web), 80), (web.address, 8000)]


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": WEB, "policyTypes": ["Ingress"]},
        {"podSelector": CLIENT, "policyTypes": ["Egress"]},
        {"podSelector": WEB, "ingress": [{"ports": [{"port": 9000}]}]},
    ],
)
def test_what_is_denied_times_out_and_what_was_open_stops(spec: dict[str, Any]) -> None:
    async def story() -> None:
        async with network() as net:
            client, _, ways = await two_pods(net)
            for number, way in enumerate(ways):
                assert await client.connect(*way, name=f"old-{number}") == "connected"
            await net.policy("deny", **spec)
            for number, way in enumerate(ways):
                assert await client.ask(name=f"old-{number}", timeout=0.3) == "timeout"
                assert await client.connect(*way, timeout=0.3) == "timeout"
            await net.client.delete(NETWORK_POLICIES, "deny", "system")
            for number, way in enumerate(ways):
                assert await client.ask("", name=f"old-{number}") == f"{client.address} hello"
                assert await client.connect(*way) == "connected"

    play(story())


def test_only_who_is_allowed_comes_in_and_a_label_is_enough() -> None:
    async def story() -> None:
        async with network() as net:
            client, _, ways = await two_pods(net)
            rules = [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}], "ports": [{"port": "http"}]}]
            await net.policy("friends", podSelector=WEB, ingress=rules)
            for way in ways:
                assert await client.connect(*way, timeout=0.3) == "timeout"
            labels = {"metadata": {"labels": {"role": "friend"}}}
            await net.client.patch(PODS, "client-1", labels, "system")
            for way in ways:
                assert await client.connect(*way) == "connected"

    play(story())


def test_the_node_is_never_kept_out() -> None:
    async def story() -> None:
        async with network() as net:
            _, web, ways = await two_pods(net)
            await net.policy("deny", podSelector={}, policyTypes=["Ingress", "Egress"])
            assert await ask(*ways[0]) == web.at_node(b"hello")

    play(story())


def test_a_pod_whose_address_is_not_known_yet_waits_for_it() -> None:
    async def story() -> None:
        async with network() as net:
            client, _, ways = await two_pods(net)
            await net.policy("web-only-for-clients", podSelector=WEB, ingress=[{"from": [{"podSelector": CLIENT}]}])
            pod = await net.client.get(PODS, "client-1", "system")
            await net.client.update(PODS, {**pod, "status": {"phase": "Running"}}, subresource="status")
            known = net.network.paths.pods
            await eventually(lambda: asyncio.sleep(0, client.address in {one.address for one in known()}), False)
            assert await client.connect(*ways[1], timeout=0.3) == "timeout"
            pod = await net.client.get(PODS, "client-1", "system")
            status = {"phase": "Running", "podIP": client.address}
            await net.client.update(PODS, {**pod, "status": status}, subresource="status")
            assert await client.connect(*ways[1]) == "connected"

    play(story())
