"""Addresses, names, Services and the pod shim, with real sockets and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys

import pytest
from dnslib import RCODE, DNSRecord

from cluster.embedded.network.addresses import AddressPool, Subnet
from cluster.embedded.network.fault_spec import NetworkFault
from cluster.embedded.network.flows import LinkFault
from cluster.embedded.network.names import look_up
from cluster.embedded.resources import SERVICES
from cluster.embedded.server import POD_SHIM
from tests.cluster.network.world import ask, backend, endpoint_slice, eventually, network, play, service


def claimable(number: int) -> bool:
    """Whether nobody holds a subnet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind(f"\0vllm-gameday-subnet-{number}")
        except OSError:
            return False
    return True


def test_two_clusters_never_share_a_subnet_and_give_it_back() -> None:
    first, second = Subnet.claim(), Subnet.claim()
    assert first.number != second.number
    assert not claimable(first.number)
    first.close()
    assert claimable(first.number)
    assert not claimable(second.number)
    second.close()


def test_an_address_that_was_given_back_is_used_again_last() -> None:
    pool = AddressPool(77, 128, 256)
    first = pool.allocate("a")
    assert pool.allocate("a") == first
    pool.release("a")
    later = {pool.allocate(str(n)) for n in range(1000)}
    assert first not in later


def test_a_service_balances_over_ready_endpoints_only_and_refuses_without_one() -> None:
    async def story() -> None:
        async with network() as net:
            first, port = await backend(net.address(1))
            second = await asyncio.start_server(lambda r, w: w.close(), net.address(2), port)
            cluster_ip = net.address(100)
            await net.client.create(SERVICES, service(cluster_ip, 80))
            await net.show(port, **{net.address(1).replace(".", "_"): True, net.address(2).replace(".", "_"): False})
            await eventually(lambda: ask(cluster_ip, 80), net.address(1).encode() + b" hello")
            answers = {await ask(cluster_ip, 80) for _ in range(10)}
            assert answers == {net.address(1).encode() + b" hello"}
            await net.show(port, **{net.address(1).replace(".", "_"): False})
            await eventually(lambda: ask(cluster_ip, 80), ConnectionRefusedError)
            for server in (first, second):
                server.close()

    play(story())


def test_a_megabyte_passes_both_ways() -> None:
    async def story() -> None:
        async with network() as net:
            server, port = await backend(net.address(1))
            cluster_ip = net.address(100)
            await net.client.create(SERVICES, service(cluster_ip, 80))
            await net.show(port, **{net.address(1).replace(".", "_"): True})
            await eventually(lambda: ask(cluster_ip, 80), net.address(1).encode() + b" hello")
            answers = await asyncio.gather(*(ask(cluster_ip, 80, b"x" * 2**20) for _ in range(20)))
            assert {len(answer) for answer in answers} == {2**20 + len(net.address(1)) + 1}
            server.close()

    play(story())


def test_a_delay_asked_for_is_a_delay_felt() -> None:
    async def story() -> None:
        async with network() as net:
            server, port = await backend(net.address(1))
            cluster_ip = net.address(100)
            await net.client.create(SERVICES, service(cluster_ip, 80))
            await net.show(port, **{net.address(1).replace(".", "_"): True})
            await eventually(lambda: ask(cluster_ip, 80), net.address(1).encode() + b" hello")
            fault = NetworkFault("system", "Delay", service="web", link=LinkFault(delay_seconds=0.3))
            net.network.paths.set_fault(("system", "slow"), fault)
            began = asyncio.get_running_loop().time()
            await ask(cluster_ip, 80)
            assert asyncio.get_running_loop().time() - began >= 0.3
            server.close()

    play(story())


@pytest.mark.parametrize(
    ("name", "code", "addresses"),
    [
        ("web.system.svc.cluster.local", RCODE.NOERROR, ["127.7.0.1"]),
        ("WEB.system.svc.cluster.local.", RCODE.NOERROR, ["127.7.0.1"]),
        ("nosuch.system.svc.cluster.local", RCODE.NXDOMAIN, []),
        ("example.org", RCODE.REFUSED, []),
    ],
)
def test_the_dns_server_knows_services_and_nothing_else(name: str, code: int, addresses: list[str]) -> None:
    async def story() -> None:
        async with network() as net:
            await net.client.create(SERVICES, service("127.7.0.1", 80))
            await eventually(lambda: asyncio.sleep(0, bool(net.services.get("system", "web"))), True)
            reply = DNSRecord.parse(net.dns.answer(DNSRecord.question(name).pack()) or b"")
            assert reply.header.rcode == code
            assert [str(record.rdata) for record in reply.rr] == addresses

    play(story())


def test_a_headless_service_names_its_ready_pods() -> None:
    services = {("system", "web"): service("None", 80)}
    found = look_up(
        "web.system.svc.cluster.local", services, [endpoint_slice(80, **{"127_1_1_1": True, "127_1_1_2": False})]
    )
    assert found.addresses == ("127.1.1.1",)


POD_PROGRAM = """
import asyncio, json, os, socket
async def main():
    seen = {}
    async def serve(reader, writer):
        seen["client"] = writer.get_extra_info("peername")[0]
        writer.close()
    server = await asyncio.start_server(serve, os.environ["BIND"] or None, 8000)
    seen["bound"] = [s.getsockname()[0] for s in server.sockets]
    await asyncio.open_connection("localhost", 8000)
    seen["name"] = (await asyncio.get_running_loop().getaddrinfo("web", 80, type=socket.SOCK_STREAM))[0][4][0]
    try:
        socket.getaddrinfo("nosuch.system.svc.cluster.local", 80)
    except socket.gaierror as error:
        seen["missing"] = error.errno == socket.EAI_NONAME
    await asyncio.sleep(0.2)
    print(json.dumps(seen))
asyncio.run(main())
"""


@pytest.mark.parametrize("bind", ["0.0.0.0", ""])
def test_pods_listen_on_the_same_port_and_know_the_names_of_their_cluster(bind: str) -> None:
    async def story() -> None:
        async with network() as net:
            await net.client.create(SERVICES, service("127.7.0.1", 80))
            pods = []
            for number in (1, 2):
                environment = {
                    **os.environ,
                    "POD_IP": net.address(number),
                    "POD_NAMESPACE": "system",
                    "CLUSTER_DNS": net.addresses.dns,
                    "PYTHONPATH": str(POD_SHIM),
                    "BIND": bind,
                }
                pods.append(
                    await asyncio.create_subprocess_exec(
                        sys.executable, "-c", POD_PROGRAM, env=environment, stdout=subprocess.PIPE
                    )
                )
            for number, pod in zip((1, 2), pods, strict=True):
                out, _ = await pod.communicate()
                seen = json.loads(out)
                assert seen == {
                    "client": net.address(number),
                    "bound": [net.address(number)],
                    "name": "127.7.0.1",
                    "missing": True,
                }

    play(story())


def test_outside_of_a_pod_the_shim_changes_nothing() -> None:
    code = "import socket; s = socket.socket(); s.bind(('0.0.0.0', 0)); print(s.getsockname()[0])"
    environment = {**os.environ, "PYTHONPATH": str(POD_SHIM)}
    environment.pop("POD_IP", None)
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "0.0.0.0"
    assert socket.gethostname()
