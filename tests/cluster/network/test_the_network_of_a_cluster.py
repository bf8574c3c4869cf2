"""Addresses, names, Services and the pod shim, with real sockets and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dnslib import RCODE, DNSRecord

from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.network.addresses import AddressPool, Subnet
from cluster.embedded.network.fault_spec import NetworkFault
from cluster.embedded.network.flows import LinkFault
from cluster.embedded.network.names import look_up
from cluster.embedded.network.network import Network
from cluster.embedded.resources import ENDPOINT_SLICES, SERVICES, Object
from cluster.embedded.server import POD_SHIM
from cluster.embedded.store import Store


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_two_clusters_never_share_a_subnet_and_give_it_back() -> None:
    first, second = Subnet.claim(), Subnet.claim()
    assert first.number != second.number
    number = first.number
    first.close()
    second.close()
    claimed = [Subnet.claim() for _ in range(200)]
    assert number in {subnet.number for subnet in claimed}
    for subnet in claimed:
        subnet.close()


def test_an_address_that_was_given_back_is_used_again_last() -> None:
    pool = AddressPool(77, 128, 256)
    first = pool.allocate("a")
    assert pool.allocate("a") == first
    pool.release("a")
    later = {pool.allocate(str(n)) for n in range(1000)}
    assert first not in later


def service(address: str, port: int, **spec: Any) -> Object:
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    return {"metadata": {"name": "web", "namespace": "system"}, "spec": {"clusterIP": address, "ports": ports, **spec}}


def endpoint_slice(port: int, **ready: bool) -> Object:
    endpoints = [
        {"addresses": [address.replace("_", ".")], "conditions": {"ready": state}, "targetRef": {"name": "p"}}
        for address, state in ready.items()
    ]
    labels = {"kubernetes.io/service-name": "web"}
    return {
        "metadata": {"name": "web-1", "namespace": "system", "labels": labels},
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": port}],
    }


class Net:
    """Services and slices in an API, and the network on them."""

    def __init__(self, subnet: Subnet) -> None:
        self.client = LocalClient(Registry(Store()))
        self.network = Network(self.client)
        self.dns = self.network.dns
        self.services = self.network.informers.of(SERVICES)
        self.slices = self.network.informers.of(ENDPOINT_SLICES)
        self.subnet = subnet

    def address(self, last: int) -> str:
        return f"127.{self.subnet.number}.200.{last}"

    async def show(self, port: int, **ready: bool) -> None:
        obj = endpoint_slice(port, **ready)
        if self.slices.get("system", "web-1"):
            await self.client.update(ENDPOINT_SLICES, obj)
        else:
            await self.client.create(ENDPOINT_SLICES, obj)


@asynccontextmanager
async def network() -> AsyncIterator[Net]:
    subnet = Subnet.claim()
    net = Net(subnet)
    task = asyncio.ensure_future(net.network.run())
    try:
        yield net
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        net.network.stop()
        subnet.close()


async def ask(address: str, port: int, message: bytes = b"hello") -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(message)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def backend(address: str) -> tuple[asyncio.Server, int]:
    """A server that answers with its own address after the client's end of file (half-close)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(address.encode() + b" " + data)
        writer.close()

    server = await asyncio.start_server(serve, address, 0)
    port: int = server.sockets[0].getsockname()[1]
    return server, port


async def eventually(attempt: Any, expected: Any) -> None:
    async with asyncio.timeout(3):
        while True:
            try:
                if await attempt() == expected:
                    return
            except OSError as error:
                if type(error) is expected:
                    return
            await asyncio.sleep(0.01)


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
            dns_port = await net.dns.start(net.address(250))
            pods = []
            for number in (1, 2):
                environment = {
                    **os.environ,
                    "POD_IP": net.address(number),
                    "POD_NAMESPACE": "system",
                    "CLUSTER_DNS": f"{net.address(250)}:{dns_port}",
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
