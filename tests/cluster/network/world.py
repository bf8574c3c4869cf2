"""A network of a cluster in this process, and pods that are processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psutil
import uvloop

from cluster.embedded.apiserver.bootstrap import bootstrap
from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.network.addresses import Subnet
from cluster.embedded.network.network import Network, NetworkAddresses
from cluster.embedded.resources import (
    ENDPOINT_SLICES,
    NAMESPACES,
    NETWORK_FAULTS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Object,
    Resource,
)
from cluster.embedded.server import POD_SHIM
from cluster.embedded.store import Store

PROGRAM = """
import json, socket, sys, threading, time

connections = {}

def outcome(action):
    began = time.monotonic()
    try:
        result = action()
    except TimeoutError:
        result = "timeout"
    except ConnectionRefusedError:
        result = "refused"
    except (ConnectionResetError, BrokenPipeError):
        result = "reset"
    except socket.gaierror as error:
        result = {socket.EAI_NONAME: "unknown", socket.EAI_AGAIN: "failed"}[error.errno]
    return {"result": result, "seconds": time.monotonic() - began}

def echo(link, peer):
    try:
        while data := link.recv(65536):
            link.sendall(peer[0].encode() + b" " + data)
    except OSError:
        pass
    link.close()

def accept(listener):
    while True:
        threading.Thread(target=echo, args=listener.accept(), daemon=True).start()

def serve(port):
    listener = socket.create_server(("0.0.0.0", port), backlog=100)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    return "listening"

def connect(name, host, port, timeout):
    connections[name] = socket.create_connection((host, port), timeout)
    return "connected"

def ask(name, text, timeout):
    link = connections[name]
    link.settimeout(timeout)
    if text:
        link.sendall(text.encode())
    data = link.recv(65536)
    return data.decode() if data else "end"

def peer(name):
    return connections[name].getpeername()[0]

def resolve(name):
    return socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)[0][4][0]

for line in sys.stdin:
    order = json.loads(line)
    do = globals()[order.pop("do")]
    print(json.dumps(outcome(lambda: do(**order))), flush=True)
"""


def play(story: Coroutine[Any, Any, None]) -> None:
    uvloop.run(story)  # the loop that the cluster runs on


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


class Pod:
    """A process that behaves as a pod's and does what it is told."""

    def __init__(self, address: str, process: asyncio.subprocess.Process) -> None:
        self.address = address
        self._process = process
        self._lock = asyncio.Lock()

    async def do(self, order: str, **arguments: Any) -> tuple[Any, float]:
        """What came of an order (a result, or ``timeout``, ``refused``, ``reset``), and after how many seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._lock, asyncio.timeout(20):
            self._process.stdin.write(json.dumps({"do": order, **arguments}).encode() + b"\n")
            answer = json.loads(await self._process.stdout.readline())
        return answer["result"], answer["seconds"]

    async def serve(self, port: int = 8000) -> None:
        assert (await self.do("serve", port=port))[0] == "listening"

    async def connect(self, host: str, port: int = 8000, *, name: str = "a", timeout: float = 5) -> Any:
        return (await self.do("connect", name=name, host=host, port=port, timeout=timeout))[0]

    async def ask(self, text: str = "hello", *, name: str = "a", timeout: float = 5) -> Any:
        return (await self.do("ask", name=name, text=text, timeout=timeout))[0]

    async def is_connecting(self) -> bool:
        """Whether a SYN of the process waits for its answer."""
        found = psutil.Process(self._process.pid).net_connections("tcp4")
        return any(connection.status == psutil.CONN_SYN_SENT for connection in found)

    def at_node(self, data: bytes) -> bytes:
        """What it answers to the node."""
        return b"127.0.0.1 " + data

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


class Net:
    """Services and slices in an API, and the network on them."""

    def __init__(self, subnet: Subnet) -> None:
        registry = Registry(Store())
        bootstrap(registry)
        self.client = LocalClient(registry)
        self.network = Network(self.client)
        self.dns = self.network.dns
        self.services = self.network.informers.of(SERVICES)
        self.slices = self.network.informers.of(ENDPOINT_SLICES)
        self.subnet = subnet
        self.addresses = NetworkAddresses("", "")
        self.pods: list[Pod] = []

    def address(self, last: int) -> str:
        return f"127.{self.subnet.number}.200.{last}"

    async def create(self, resource: Resource, name: str, namespace: str = "system", **content: Any) -> None:
        await self.client.create(
            resource,
            {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {"name": name, "namespace": namespace},
                **content,
            },
        )

    async def fault(self, name: str, **spec: Any) -> Object:
        """Create a NetworkFault; returns its status once it has one."""
        await self.create(NETWORK_FAULTS, name, spec=spec)
        return await self.fault_status(name, lambda status: "active" in status)

    async def fault_status(self, name: str, wanted: Any) -> Object:
        """The status of a NetworkFault as soon as it is as wanted."""
        async with asyncio.timeout(5):
            while True:
                obj = await self.client.get(NETWORK_FAULTS, name, "system")
                if wanted(obj.get("status") or {}):
                    return dict(obj["status"])
                await asyncio.sleep(0.01)

    async def undo(self, name: str) -> None:
        """Delete a NetworkFault, and wait until the network knows."""
        await self.client.delete(NETWORK_FAULTS, name, "system")
        await eventually(lambda: asyncio.sleep(0, ("system", name) in self.network.paths.faults), False)

    async def policy(self, name: str, **spec: Any) -> None:
        """Create a NetworkPolicy, and wait until the network knows."""
        await self.create(NETWORK_POLICIES, name, spec=spec)
        informer = self.network.informers.of(NETWORK_POLICIES)
        await eventually(lambda: asyncio.sleep(0, informer.get("system", name) is not None), True)
        await asyncio.sleep(0)

    async def pod(self, name: str, last: int, **labels: str) -> Pod:
        """A pod: its object with its address, and a process that follows orders."""
        address = self.address(last)
        spec = {"containers": [{"name": "main", "image": "x", "ports": [{"name": "http", "containerPort": 8000}]}]}
        obj = await self.client.create(
            PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "system", "labels": labels},
                "spec": spec,
            },
        )
        status = {"phase": "Running", "podIP": address}
        await self.client.update(PODS, {**obj, "status": status}, subresource="status")
        known = self.network.paths.pods
        await eventually(lambda: asyncio.sleep(0, address in {pod.address for pod in known()}), True)
        environment = {
            **os.environ,
            "POD_IP": address,
            "POD_NAMESPACE": "system",
            "CLUSTER_DNS": self.addresses.dns,
            "CLUSTER_RELAY": self.addresses.relay,
            "PYTHONPATH": str(POD_SHIM),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pods.append(Pod(address, process))
        return self.pods[-1]

    async def service(self, last: int, *backends: Pod) -> str:
        """A Service on port 80 with these pods behind; returns its address once it accepts connections."""
        address = f"127.{self.subnet.number}.1.{last}"
        await self.client.create(SERVICES, service(address, 80))
        await self.show(8000, **{pod.address.replace(".", "_"): True for pod in backends})
        await eventually(lambda: ask(address, 80), backends[0].at_node(b"hello"))
        return address

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
    await net.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "system"}})
    net.addresses = await net.network.start(f"127.{subnet.number}.64.1")
    task = asyncio.ensure_future(net.network.run())
    try:
        yield net
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        net.network.stop()
        for pod in net.pods:
            await pod.end()
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
