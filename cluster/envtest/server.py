"""The process of a cluster with a real control plane: starts the four programs, and is its nodes and its network.

    python -m cluster.envtest.server --state-dir DIR [--name NAME] [--image-map FILE] [--config FILE]

Like ``cluster.embedded.server`` it writes ``kubeconfig`` and ``cluster.json`` into the state folder, and ends at
SIGTERM or SIGINT. Past the kubeconfig it uses nothing but the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from clients.addresses import published
from cluster.embedded.config import ClusterConfig, NodeConfig
from cluster.embedded.events import EventRecorder
from cluster.embedded.http_client import HttpClient
from cluster.embedded.network.addresses import AddressPool, Subnet
from cluster.embedded.network.network import Network, NetworkAddresses
from cluster.embedded.node.agent import NodeAgent
from cluster.embedded.node.images import ImageMap
from cluster.embedded.node.kubelet_server import KubeletServer
from cluster.embedded.server import Options, Running, announce, first_of, node_settings, run_process
from cluster.envtest.binaries import Binaries
from cluster.envtest.control_plane import ControlPlane, free_ports
from cluster.envtest.files import ADMIN, KUBELET_CLIENT, NODE_AGENT, ControlPlaneFiles
from cluster.envtest.flags import Places
from cluster.envtest.preparation import prepare
from cluster.envtest.published import PublishedAddresses

log = logging.getLogger("cluster")

PREPARATION_SECONDS = 60.0


def main() -> None:
    """Run a cluster until it is told to stop."""
    run_process(serve)


async def serve(options: Options) -> None:
    """Start every part, serve until a signal, stop every part. A signal also ends a start that takes its time."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(_serve(options))
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve(options: Options) -> None:
    async with _running(options) as running:
        announce(options, running)
        log.info("cluster %s serves at https://%s", options.name, running.address)
        try:
            await running.components
        finally:
            (options.state_dir / "cluster.json").unlink(missing_ok=True)
            log.info("cluster %s stops", options.name)


@contextlib.asynccontextmanager
async def _running(options: Options) -> AsyncIterator[Running]:
    binaries = Binaries.find(os.environ)
    config = ClusterConfig.load(options.config) if options.config else ClusterConfig()
    site = _Site.claim(config)
    try:
        files = ControlPlaneFiles.create(
            options.state_dir / "pki", site.places.address, tuple(site.nodes.values()), site.first_service
        )
        plane = ControlPlane(binaries, site.places, files, options.state_dir)
        credentials = files.credentials(site.places.server, NODE_AGENT)
        async with plane.running(), HttpClient(credentials, manager="kubelet") as client:
            await first_of(asyncio.ensure_future(prepare(client, PREPARATION_SECONDS)), _as_future(plane))
            files.write_kubeconfig(options.state_dir / "kubeconfig", site.places.server, ADMIN, options.name)
            async with _attached(client, config, options, site, files, plane) as running:
                yield running
    finally:
        site.subnet.close()


@dataclass(frozen=True, slots=True)
class _Site:
    """Who gets which address."""

    subnet: Subnet
    places: Places
    first_service: str
    network: str
    nodes: dict[str, str]
    pods: AddressPool

    @classmethod
    def claim(cls, config: ClusterConfig) -> _Site:
        subnet = Subnet.claim()
        addresses = subnet.pool("node")
        control = addresses.next_address()
        ports = free_ports(control, 5)
        services = f"127.{subnet.number}.0.0/18"
        return cls(
            subnet=subnet,
            places=Places(control, published(control), services, *ports),
            first_service=subnet.pool("service").next_address(),
            network=addresses.next_address(),
            nodes={node.name: addresses.next_address() for node in config.nodes},
            pods=subnet.pool("pod"),
        )


@contextlib.asynccontextmanager
async def _attached(
    client: HttpClient,
    config: ClusterConfig,
    options: Options,
    site: _Site,
    files: ControlPlaneFiles,
    plane: ControlPlane,
) -> AsyncIterator[Running]:
    """Nodes and network work within the block."""
    translated = PublishedAddresses(client)
    network = Network(translated)
    at = await network.start(site.network)
    kubelets = {node.name: KubeletServer(files.kubelet, files.ca_pem, KUBELET_CLIENT) for node in config.nodes}
    images = ImageMap.load(options.image_map) if options.image_map else ImageMap()
    agents = []
    for node in config.nodes:
        address = site.nodes[node.name]
        port = await kubelets[node.name].start(address)
        agent = _agent(translated, node, config, options, site, images, at, port)
        kubelets[node.name].serve(agent)
        agents.append(agent)
    components = asyncio.ensure_future(_components(network, agents, plane))
    try:
        host = f"{site.places.address}:{site.places.apiserver}"
        yield Running(host, at.dns, site.subnet.number, components)
    finally:
        components.cancel()
        await asyncio.gather(components, return_exceptions=True)
        for kubelet in kubelets.values():
            await kubelet.stop()
        network.stop()


def _agent(
    client: PublishedAddresses,
    node: NodeConfig,
    config: ClusterConfig,
    options: Options,
    site: _Site,
    images: ImageMap,
    network: NetworkAddresses,
    port: int,
) -> NodeAgent:
    settings = node_settings(node, config, options, site.nodes[node.name], network)
    settings = replace(settings, kubelet_port=port, service_host=site.first_service, service_port=443)
    return NodeAgent(client, settings, images, site.pods, EventRecorder(client, "kubelet", node.name))


async def _components(network: Network, agents: list[NodeAgent], plane: ControlPlane) -> None:
    """Everything that may break. Raises what the first part that does raises."""
    async with asyncio.TaskGroup() as group:
        group.create_task(network.run())
        group.create_task(plane.failed())
        for agent in agents:
            group.create_task(agent.run())


def _as_future(plane: ControlPlane) -> asyncio.Future[None]:
    return asyncio.ensure_future(plane.failed())


if __name__ == "__main__":
    main()
