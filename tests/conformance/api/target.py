"""The cluster that recordings are replayed against: an embedded control plane, or any cluster by its kubeconfig."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from cluster.embedded.kubeconfig import Credentials
from tests.conformance.api.http import Http

if TYPE_CHECKING:
    from cluster.embedded.store import Store

NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "gpu-node-1",
        "labels": {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "nvidia.com/gpu.product": "Fake-GPU",
        },
    },
}


@contextlib.asynccontextmanager
async def embedded(*, service_accounts: bool) -> AsyncIterator[Http]:
    """A control plane without nodes: API server over HTTP, controllers, scheduler.

    Args:
        service_accounts: whether the ServiceAccount admission plugin is on.
    """
    from cluster.embedded.apiserver.bootstrap import bootstrap
    from cluster.embedded.apiserver.http import ApiServer
    from cluster.embedded.apiserver.local import LocalClient
    from cluster.embedded.apiserver.registry import Registry
    from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
    from cluster.embedded.scheduler import run_scheduler
    from cluster.embedded.store import Store

    addresses = itertools.count(1)
    registry = Registry(
        Store(),
        service_addresses=lambda: f"127.96.0.{next(addresses)}",
        service_range=ipaddress.IPv4Network("127.96.0.0/16"),
        service_accounts=service_accounts,
    )
    token = secrets.token_urlsafe(16)
    server = ApiServer(registry, token=token, tls=None, pod_streams=_NoStreams())
    bootstrap(registry)
    port = await server.start()
    scheduler = LocalClient(registry, manager="kube-scheduler")
    parts = [
        asyncio.ensure_future(run_controllers(LocalClient(registry), ControllerSettings(ca_pem=""))),
        asyncio.ensure_future(run_scheduler(scheduler)),
    ]
    try:
        async with _session() as session:
            yield Http(session, f"http://127.0.0.1:{port}", token, age=partial(_age, registry.store))
    finally:
        for part in parts:
            part.cancel()
        results = await asyncio.gather(*parts, return_exceptions=True)
        await server.stop()
        broken = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
    if broken:
        raise broken[0]


def _age(store: Store) -> None:
    """Make the server as old as one that has compacted, and whose watch cache has moved on."""
    store.compact(store.version)
    store.forget_changes()


@contextlib.asynccontextmanager
async def existing(kubeconfig: str) -> AsyncIterator[Http]:
    """Any cluster, by a kubeconfig with a bearer token or a client certificate. Raises InputError."""
    credentials = Credentials.load(Path(kubeconfig))
    async with _session(credentials.ssl_context()) as session:
        yield Http(session, credentials.server, credentials.token)


def _session(context: Any = None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, ssl=context) if context else aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, auto_decompress=True)


class _NoStreams:
    """There is no kubelet behind the node: the API server is refused when it dials."""

    async def reach(self, namespace: str, pod: str) -> None:
        raise _dialling(f"error dialing backend: {_REFUSED}")

    def logs(self, namespace: str, pod: str, container: str, options: Any) -> Any:
        asked = "&".join(f"{key}={value}" for key, value in _log_query(options).items())
        return _refused(f"containerLogs/{namespace}/{pod}/{container}" + (f"?{asked}" if asked else ""))

    async def exec(self, namespace: str, pod: str, container: str, command: list[str], **_: Any) -> Any:
        async for nothing in _refused(f"exec/{namespace}/{pod}/{container}"):
            raise AssertionError(nothing)

    async def attach(self, namespace: str, pod: str, container: str, **_: Any) -> Any:
        async for nothing in _refused(f"attach/{namespace}/{pod}/{container}"):
            raise AssertionError(nothing)


_ADDRESS = "127.0.0.1:10999"
_REFUSED = f"dial tcp {_ADDRESS}: connect: connection refused"


def _log_query(options: Any) -> dict[str, str]:
    """What the API server asks the kubelet, in the order in which Go writes a query."""
    asked = {
        "follow": "true" if options.follow else "",
        "limitBytes": options.limit_bytes,
        "previous": "true" if options.previous else "",
        "sinceSeconds": options.since_seconds,
        "tailLines": options.tail_lines,
        "timestamps": "true" if options.timestamps else "",
    }
    return {key: str(value) for key, value in asked.items() if value not in (None, "")}


async def _refused(path: str) -> AsyncIterator[bytes]:
    raise _dialling(f'Get "https://{_ADDRESS}/{path}": {_REFUSED}')
    yield b""


def _dialling(problem: str) -> Exception:
    from cluster.embedded.apiserver.status import internal_error

    return internal_error(problem)


async def register_node(http: Http, name: str = "gpu-node-1") -> None:
    """The fake node of the recordings, Ready, with four GPUs."""
    labels = {**NODE["metadata"]["labels"], "kubernetes.io/hostname": name}
    node = {**NODE, "metadata": {"name": name, "labels": labels}}
    await http.call("POST", "/api/v1/nodes", "", node)
    await post_status(http, name)
    await beat(http, name)


async def post_status(http: Http, name: str) -> None:
    """Post the node's status as its kubelet does when something changed (and every five minutes)."""
    now = datetime.now(UTC)
    amounts = {"cpu": "16", "ephemeral-storage": "100Gi", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "4"}
    condition = {"lastHeartbeatTime": f"{now:%Y-%m-%dT%H:%M:%SZ}", "lastTransitionTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    unwell = [
        (kind, "False", f"KubeletHas{text}", f"kubelet has {words}")
        for kind, text, words in (
            ("MemoryPressure", "SufficientMemory", "sufficient memory available"),
            ("DiskPressure", "NoDiskPressure", "no disk pressure"),
            ("PIDPressure", "SufficientPID", "sufficient PID available"),
        )
    ]
    states = [*unwell, ("Ready", "True", "KubeletReady", "kubelet is posting ready status")]
    status = {
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10999}},
        "conditions": [{"type": t, "status": s, "reason": r, "message": m, **condition} for t, s, r, m in states],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "b",
            "containerRuntimeVersion": "fake://1.0",
            "kernelVersion": "6.1.0",
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.2",
            "machineID": "m",
            "operatingSystem": "linux",
            "osImage": "Fake Linux",
            "systemUUID": "u",
        },
    }
    await http.call(
        "PATCH",
        f"/api/v1/nodes/{name}/status",
        "",
        {"status": status},
        content_type="application/strategic-merge-patch+json",
    )


async def post_conditions(http: Http, name: str, conditions: list[dict[str, Any]]) -> None:
    """Post conditions of a node with their reasons and messages, as seen now."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    posted = [{**condition, "lastHeartbeatTime": now, "lastTransitionTime": now} for condition in conditions]
    await http.call(
        "PATCH",
        f"/api/v1/nodes/{name}/status",
        "",
        {"status": {"conditions": posted}},
        content_type="application/strategic-merge-patch+json",
    )


async def beat(http: Http, name: str) -> None:
    """Renew the node's lease, as its kubelet does every ten seconds."""
    now = datetime.now(UTC)
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
    await http.call("PUT", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}", "", lease)
