"""NetworkFaults, on Services and on the way from pod to pod, felt by real processes on real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

from cluster.embedded.resources import NETWORK_FAULTS
from tests.cluster.network.world import Net, Pod, eventually, network, play

WEB: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "web"}}}
CLIENT: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "client"}}}
SERVICE: dict[str, Any] = {"service": "web"}


async def two_pods(net: Net) -> tuple[Pod, Pod]:
    """A client, and a server on port 8000."""
    client, web = await asyncio.gather(net.pod("client-1", 1, app="client"), net.pod("web-1", 2, app="web"))
    await web.serve()
    return client, web


async def reach(net: Net, web: Pod, way: str) -> tuple[str, int]:
    """Where a client connects to in order to reach the server: by its Service, or directly."""
    return (await net.service(100, web), 80) if way == "service" else (web.address, 8000)


WAYS = pytest.mark.parametrize("way", ["service", "direct"])


@WAYS
def test_a_server_sees_the_pod_that_speaks_and_the_client_the_address_it_dialed(way: str) -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            host, port = await reach(net, web, way)
            assert await client.connect(host, port) == "connected"
            assert await client.ask("hi") == f"{client.address} hi"
            assert (await client.do("peer", name="a"))[0] == host

    play(story())


def test_a_pod_that_does_not_listen_refuses_at_once() -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            assert await client.connect(web.address, 9999) == "refused"
            await web.serve(9999)
            assert await client.connect(web.address, 9999) == "connected"

    play(story())


@WAYS
@pytest.mark.parametrize("target", [WEB, CLIENT])
def test_a_delay_is_felt_by_old_and_new_connections_until_it_is_undone(way: str, target: dict[str, Any]) -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            host, port = await reach(net, web, way)
            await client.connect(host, port, name="old")
            assert (await client.do("ask", name="old", text="x", timeout=5))[1] < 0.3
            status = await net.fault("slow", target=target, type="Delay", delaySeconds=0.4, jitterSeconds=0.05)
            assert status["active"]
            assert len(status["affected"]) == 1
            answer, seconds = await client.do("ask", name="old", text="x", timeout=5)
            assert (answer, 0.35 <= seconds < 0.8) == (f"{client.address} x", True), seconds
            await client.connect(host, port, name="new")
            _, seconds = await client.do("ask", name="new", text="x", timeout=5)
            assert 0.3 <= seconds < 0.8
            await net.undo("slow")
            for name in ("old", "new"):
                assert (await client.do("ask", name=name, text="x", timeout=5))[1] < 0.3

    play(story())


@WAYS
def test_a_reset_of_all_cuts_old_connections_and_refuses_to_keep_new_ones(way: str) -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            host, port = await reach(net, web, way)
            await client.connect(host, port)
            await client.ask()
            await net.fault("cut", target=WEB, type="Reset")
            assert await client.ask() == "reset"
            outcomes = {await client.connect(host, port), await client.ask()}
            assert "reset" in outcomes
            await net.undo("cut")
            await client.connect(host, port)
            assert await client.ask() == f"{client.address} hello"

    play(story())


def test_a_ratio_of_resets_is_about_that_ratio() -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            host, port = await reach(net, web, "service")
            await net.fault("cut", target=SERVICE, type="Reset", ratio=0.5)
            answers = []
            for _ in range(60):
                outcome = await client.connect(host, port)
                answers.append(await client.ask() if outcome == "connected" else outcome)
            assert set(answers) == {"reset", f"{client.address} hello"}
            assert 12 <= answers.count("reset") <= 48  # a fair coin leaves this range once in a million

    play(story())


@WAYS
@pytest.mark.parametrize(
    "spec", [{"target": WEB, "type": "BlackHole"}, {"target": CLIENT, "peer": WEB, "type": "Partition"}]
)
def test_a_black_hole_swallows_bytes_and_connections_and_gives_back_what_waits(way: str, spec: dict[str, Any]) -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            host, port = await reach(net, web, way)
            await client.connect(host, port, name="old")
            assert await client.ask("x", name="old") == f"{client.address} x"
            assert (await net.fault("hole", **spec))["active"]
            assert await client.ask("y", name="old", timeout=0.3) == "timeout"
            assert await client.connect(host, port, name="new", timeout=0.3) == "timeout"
            waiting = asyncio.ensure_future(client.connect(host, port, name="patient", timeout=10))
            await eventually(client.is_connecting, True)
            await net.undo("hole")
            assert await waiting == "connected"  # its SYN is sent again, as TCP does
            assert await client.ask("", name="old") == f"{client.address} y"
            assert await client.ask("z", name="patient") == f"{client.address} z"

    play(story())


def test_a_partition_parts_only_the_two() -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            other = await net.pod("other-1", 3, app="other")
            await other.serve()
            status = await net.fault("rift", target=WEB, peer=CLIENT, type="Partition")
            assert status["affected"] == ["pod/web-1"]
            assert await client.connect(web.address, timeout=0.3) == "timeout"
            assert await client.connect(other.address) == "connected"
            assert await other.connect(web.address) == "connected"
            assert await web.connect(other.address) == "connected"

    play(story())


def test_a_fault_of_a_service_with_a_peer_spares_everybody_else() -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            host, port = await reach(net, web, "service")
            other = await net.pod("other-1", 3, app="other")
            status = await net.fault("hole", target=SERVICE, peer=CLIENT, type="BlackHole")
            assert status["affected"] == ["service/web"]
            assert await client.connect(host, port, timeout=0.3) == "timeout"
            assert await other.connect(host, port) == "connected"
            assert await client.connect(web.address) == "connected"  # not by the Service

    play(story())


@pytest.mark.parametrize(
    ("answer", "outcome"), [("NXDOMAIN", "unknown"), ("SERVFAIL", "failed"), ("Timeout", "failed")]
)
def test_a_name_fails_as_asked_for_the_pods_asked_for(answer: str, outcome: str) -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            address = await net.service(100, web)
            name = "web.system.svc.cluster.local"
            assert (await client.do("resolve", name=name))[0] == address
            await net.fault("dns", target=CLIENT, type="DNS", dnsName="web", dnsAnswer=answer)
            found, seconds = await client.do("resolve", name=name)
            assert found == outcome
            assert (seconds > 1) is (answer == "Timeout")
            assert (await web.do("resolve", name=name))[0] == address
            await net.undo("dns")
            assert (await client.do("resolve", name=name))[0] == address

    play(story())


def test_a_fault_ends_by_itself_when_its_time_is_over() -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            await net.fault("hole", target=WEB, type="BlackHole", ttlSeconds=2)
            assert await client.connect(web.address, timeout=0.2) == "timeout"
            status = await net.fault_status("hole", lambda status: not status["active"])
            assert status["conditions"][1]["reason"] == "Expired"
            assert await client.connect(web.address) == "connected"

    play(story())


def test_an_invalid_fault_says_so_and_does_nothing_until_it_is_mended() -> None:
    async def story() -> None:
        async with network() as net:
            client, web = await two_pods(net)
            status = await net.fault("odd", target=WEB, type="BlackHole", ratio=0.5)
            (accepted, active) = status["conditions"]
            assert (accepted["type"], accepted["status"], active["status"]) == ("Accepted", "False", "False")
            assert "spec.ratio" in accepted["message"]
            assert await client.connect(web.address) == "connected"
            await net.client.patch(NETWORK_FAULTS, "odd", {"spec": {"ratio": None}}, "system")
            assert await net.fault_status("odd", lambda status: status["active"])
            assert await client.ask(timeout=0.3) == "timeout"

    play(story())


def test_a_fault_waits_for_its_pods() -> None:
    async def story() -> None:
        async with network() as net:
            status = await net.fault("hole", target=WEB, type="BlackHole")
            assert (status["active"], status["affected"]) == (False, [])
            client, web = await two_pods(net)
            assert await net.fault_status("hole", lambda status: status["affected"] == ["pod/web-1"])
            assert await client.connect(web.address, timeout=0.3) == "timeout"

    play(story())


def test_nothing_of_either_side_passes_a_black_hole_not_even_the_end() -> None:
    async def story() -> None:
        async with network() as net:
            _, web = await two_pods(net)
            address = await net.service(100, web)
            served: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
            server = await asyncio.start_server(lambda *streams: served.put_nowait(streams), net.address(9), 8000)
            await net.show(8000, **{net.address(9).replace(".", "_"): True})
            link = socket.create_connection((address, 80))
            reader, writer = await served.get()
            await net.fault("hole", target=SERVICE, type="BlackHole")
            writer.write(b"pushed")
            link.settimeout(0.3)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(link.recv, 10)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()  # a RST, which must not be known to the server yet
            end = asyncio.ensure_future(reader.read())
            done, _ = await asyncio.wait([end], timeout=0.3)
            assert not done
            await net.undo("hole")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(end, 5)
            server.close()

    play(story())
