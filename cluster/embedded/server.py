"""The process of an embedded cluster: API server, controllers, scheduler, node agents and network in one loop.

    python -m cluster.embedded.server --state-dir DIR [--name NAME] [--image-map FILE] [--config FILE] [--port N]

It writes ``kubeconfig`` and, once it serves, ``cluster.json`` into the state folder, and ends at SIGTERM or SIGINT, or,
with ``--die-with-parent``, when the process that started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import EnvironmentUnusable, GamedayError

if TYPE_CHECKING:
    from cluster.embedded.apiserver.pod_streams import ExecSession, LogOptions, PodConnection
    from cluster.embedded.apiserver.usage import NodeUsage
    from cluster.embedded.client import ApiClient
    from cluster.embedded.config import ClusterConfig, NodeConfig
    from cluster.embedded.controllers.manager import ControllerSettings
    from cluster.embedded.network.addresses import AddressPool, Subnet
    from cluster.embedded.network.network import NetworkAddresses
    from cluster.embedded.node.agent import NodeAgent
    from cluster.embedded.node.settings import NodeSettings
    from cluster.embedded.virtual.nodes import VirtualNodes

log = logging.getLogger("cluster")
_PR_SET_PDEATHSIG = 1
_GC_THRESHOLDS = (50_000, 50, 100)
"""A cluster keeps many objects for long, without cycles: Python need not look through them so often."""
STOP_SECONDS = 10
POD_SHIM = Path(__file__).resolve().parent / "network" / "pod_shim"


@dataclass(frozen=True, slots=True)
class Options:
    """Command line of the process."""

    state_dir: Path
    name: str
    image_map: Path | None
    config: Path | None
    port: int
    die_with_parent: bool
    persistent: bool = False


def main() -> None:
    """Run an embedded cluster until it is told to stop."""
    run_process(serve)


def run_process(serve: Callable[[Options], Coroutine[Any, Any, None]]) -> None:
    """Be the process of a cluster. Ends with code 2 and one message when it cannot begin."""
    gc.set_threshold(*_GC_THRESHOLDS)
    # Nobody here trusts the machine's authorities, and aiohttp reads them all at import: a tenth of the start.
    os.environ["SSL_CERT_FILE"] = os.devnull
    options = _parse()
    if options.die_with_parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        import uvloop

        uvloop.run(serve(options))
    except GamedayError as error:
        log.error("%s", error)
        sys.exit(2)
    except BaseExceptionGroup as errors:
        log.error("a component broke: %s", _first_cause(errors), exc_info=errors)
        sys.exit(1)


def _first_cause(errors: BaseExceptionGroup[BaseException]) -> str:
    first = errors.exceptions[0]
    return _first_cause(first) if isinstance(first, BaseExceptionGroup) else f"{type(first).__name__}: {first}"


async def serve(options: Options) -> None:
    """Start every part, serve until a signal, stop every part."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _running(options) as running:
        announce(options, running)
        log.info("cluster %s serves at https://%s", options.name, running.address)
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await first_of(stop, running.components)
        finally:
            stop.cancel()
            (options.state_dir / "cluster.json").unlink(missing_ok=True)
            log.info("cluster %s stops", options.name)


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of a cluster that runs. ``components`` ends only when a part of the cluster broke."""

    address: str
    dns: str
    subnet: int
    components: asyncio.Future[None]


async def first_of(wanted: asyncio.Future[Any], components: asyncio.Future[None]) -> None:
    """Wait for something, unless a component breaks first: then raise what broke it. Half a cluster is none."""
    await asyncio.wait({wanted, components}, return_when=asyncio.FIRST_COMPLETED)
    if components.done():
        components.result()
        raise EnvironmentUnusable("the cluster's components ended by themselves")


@contextlib.asynccontextmanager
async def _running(options: Options) -> AsyncIterator[Running]:
    from cluster.embedded import persistence
    from cluster.embedded.apiserver import auth, tls
    from cluster.embedded.apiserver.bootstrap import bootstrap
    from cluster.embedded.apiserver.http import ApiServer
    from cluster.embedded.apiserver.local import LocalClient
    from cluster.embedded.apiserver.registry import Registry
    from cluster.embedded.config import ClusterConfig
    from cluster.embedded.controllers import manager
    from cluster.embedded.controllers.hpa_metrics import NoPodMetrics
    from cluster.embedded.network.addresses import Subnet
    from cluster.embedded.store import Store

    config = ClusterConfig.load(options.config) if options.config else ClusterConfig()
    kept = persistence.read(options.state_dir) if options.persistent else None
    known = kept.identity if kept else None
    subnet = Subnet.claim(known.subnet if known else None)
    store = Store()
    if kept:
        kept.restore(store)
    registry = Registry(
        store,
        service_addresses=subnet.pool("service").next_address,
        service_range=subnet.services(),
        service_accounts=True,
    )
    streams = NodeStreams(LocalClient(registry))
    if known:
        files, token = tls.existing_files(options.state_dir, known.ca_pem), known.token
    else:
        files = tls.create_tls_files(options.state_dir, addresses=("127.0.0.1", str(subnet.first_service)))
        token = auth.new_token()
    api = ApiServer(registry, token=token, tls=files, pod_streams=streams, usage=streams)
    clients = Clients(
        LocalClient(registry),
        LocalClient(registry, manager="kube-scheduler"),
        LocalClient(registry, manager="kubelet", tokens=api.tokens),
    )
    port = await _listen(api, known.port if known else options.port)
    bootstrap(registry, api_port=port)
    address = f"127.0.0.1:{port}"
    _write_private(
        options.state_dir / "kubeconfig", auth.kubeconfig(f"https://{address}", files.ca_pem, token, options.name)
    )
    controlled = manager.ControllerSettings(ca_pem=files.ca_pem, pod_metrics=api.metrics or NoPodMetrics())
    components = asyncio.ensure_future(_components(clients, config, options, subnet, streams, controlled))
    keeper = persistence.Keeper(
        options.state_dir, store, persistence.Identity(port, subnet.number, token, files.ca_pem)
    )
    keeping = asyncio.ensure_future(keeper.run()) if options.persistent else None
    try:
        await first_of(streams.dns, components)
        yield Running(address, streams.dns.result(), subnet.number, components)
    finally:
        components.cancel()
        await asyncio.wait([components], timeout=STOP_SECONDS)
        if keeping:
            keeping.cancel()
            keeper.save()
        await api.stop()
        subnet.close()


@dataclass(frozen=True, slots=True)
class Clients:
    """The API as each kind of component sees it: its writes are recorded under its name."""

    controllers: ApiClient
    scheduler: ApiClient
    kubelet: ApiClient


async def _components(
    clients: Clients,
    config: ClusterConfig,
    options: Options,
    subnet: Subnet,
    streams: NodeStreams,
    controlled: ControllerSettings,
) -> None:
    """Everything that is a client of the API. Raises what the first part that breaks raised."""
    from cluster.embedded.controllers.manager import run_controllers
    from cluster.embedded.network.network import Network
    from cluster.embedded.scheduler import run_scheduler

    network = Network(clients.controllers)
    addresses, pods = subnet.pool("node"), subnet.pool("pod")
    at = await network.start(addresses.next_address())
    agents = _node_agents(clients.kubelet, config, options, (addresses, pods), at, str(subnet.first_service))
    virtual = _virtual_nodes(clients.kubelet, config, addresses, pods)
    streams.serve(agents, at.dns)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(run_controllers(clients.controllers, controlled))
            group.create_task(run_scheduler(clients.scheduler))
            group.create_task(network.run())
            for agent in agents.values():
                group.create_task(agent.run())
            if virtual is not None:
                group.create_task(virtual.run())
    finally:
        network.stop()


def _node_agents(
    client: ApiClient,
    config: ClusterConfig,
    options: Options,
    pools: tuple[AddressPool, AddressPool],
    network: NetworkAddresses,
    api_service: str,
) -> dict[str, NodeAgent]:
    """The agents by node. ``pools`` has the addresses of nodes and of pods, ``api_service`` is the API's ClusterIP."""
    from cluster.embedded.events import EventRecorder
    from cluster.embedded.node.agent import NodeAgent
    from cluster.embedded.node.images import ImageMap

    images = ImageMap.load(options.image_map) if options.image_map else ImageMap()
    addresses, pods = pools
    agents = {}
    for node in config.nodes:
        settings = replace(
            node_settings(node, config, options, addresses.next_address(), network), service_host=api_service
        )
        agents[node.name] = NodeAgent(client, settings, images, pods, EventRecorder(client, "kubelet", node.name))
    return agents


def node_settings(
    node: NodeConfig, config: ClusterConfig, options: Options, address: str, network: NetworkAddresses
) -> NodeSettings:
    """The settings of the agent of a node."""
    from cluster.embedded.node.settings import NodeSettings

    capacity = {"cpu": node.cpu, "memory": node.memory, "pods": node.pods, "ephemeral-storage": "100Gi"}
    if node.gpus:
        capacity["nvidia.com/gpu"] = str(node.gpus)
    return NodeSettings(
        name=node.name,
        address=address,
        root=options.state_dir / "node" / node.name,
        capacity=capacity,
        labels=node.labels,
        taints=tuple(node.taints),
        restart_backoff_base_seconds=config.restart_backoff_base_seconds,
        dns=network.dns,
        relay=network.relay,
        metrics_window_seconds=config.metrics_window_seconds,
        pod_shim=POD_SHIM,
    )


def _virtual_nodes(
    client: ApiClient, config: ClusterConfig, addresses: AddressPool, pods: AddressPool
) -> VirtualNodes | None:
    if config.virtual_nodes is None:
        return None
    from cluster.embedded.virtual.nodes import VirtualNodes

    return VirtualNodes(client, config.virtual_nodes, addresses.next_address, pods)


class NodeStreams:
    """Logs, commands and ports of any pod, asked of the agent of its node.

    Attributes:
        dns: the DNS server's ``ADDRESS:PORT``, once it is up.
    """

    def __init__(self, client: ApiClient) -> None:
        self.dns: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client = client
        self._agents: dict[str, NodeAgent] = {}

    def serve(self, agents: dict[str, NodeAgent], dns: str) -> None:
        """Begin to answer."""
        self._agents = agents
        self.dns.set_result(dns)

    async def reach(self, namespace: str, pod: str) -> None:
        """See PodStreams."""
        await self._agent(namespace, pod)

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """See PodStreams."""
        agent = await self._agent(namespace, pod)
        async for chunk in agent.logs(namespace, pod, container, options):
            yield chunk

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        """See PodStreams."""
        agent = await self._agent(namespace, pod)
        return await agent.exec(namespace, pod, container, command, stdin=stdin, tty=tty)

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        """See PodStreams."""
        agent = await self._agent(namespace, pod)
        return await agent.attach(namespace, pod, container, stdin=stdin)

    async def connect(self, namespace: str, pod: str, port: int) -> PodConnection:
        """See PodStreams."""
        agent = await self._agent(namespace, pod)
        return await agent.connect(namespace, pod, port)

    def usage(self) -> list[NodeUsage]:
        """See UsageSource."""
        return [usage for agent in self._agents.values() if (usage := agent.usage())]

    async def _agent(self, namespace: str, pod: str) -> NodeAgent:
        from cluster.embedded.apiserver.status import not_found
        from cluster.embedded.resources import PODS

        found = await self._client.get(PODS, pod, namespace)
        node = found["spec"].get("nodeName", "")
        if node not in self._agents:
            raise not_found(PODS, node)  # the node's name in a message about pods: so says a real server
        return self._agents[node]


async def _listen(api: object, port: int) -> int:
    from cluster.embedded.apiserver.http import ApiServer

    assert isinstance(api, ApiServer)
    try:
        return await api.start(port=port)
    except OSError as error:
        raise EnvironmentUnusable(
            f"the port is in use: {error.strerror}", where=f"127.0.0.1:{port}", remedy="choose another --port, or 0"
        ) from error


def announce(options: Options, running: Running) -> None:
    """Write ``cluster.json`` in one piece: its presence says that the cluster serves."""
    content = {
        "name": options.name,
        "pid": os.getpid(),
        "server": f"https://{running.address}",
        "dns": running.dns,
        "subnet": f"127.{running.subnet}.0.0/16",
        "started": time.time(),
    }
    path = options.state_dir / "cluster.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


def _write_private(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(content)


def _parse() -> Options:
    parser = argparse.ArgumentParser(prog="cluster.embedded.server", description="run an embedded cluster")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--name", default="default")
    parser.add_argument("--image-map", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--die-with-parent", action="store_true")
    parser.add_argument("--persistent", action="store_true", help="keep the objects in the state folder")
    given = parser.parse_args()
    given.state_dir.mkdir(parents=True, exist_ok=True)
    return Options(**vars(given))


if __name__ == "__main__":
    main()
