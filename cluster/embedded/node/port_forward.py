"""Connections to the ports of a pod, from outside the cluster's network, with the errors of a container runtime."""

from __future__ import annotations

import asyncio

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.pod_streams import PodConnection, PortUnreachable
from cluster.embedded.node import podspec
from cluster.embedded.node.pod import PodWorker

_CONNECT_SECONDS = 10.0
_NO_IPV6 = "dial tcp6: address localhost: no suitable address found"


async def connect(worker: PodWorker, port: int) -> PodConnection:
    """Connect to what listens at a port of the pod. Raises ApiError 500 without a sandbox, and PortUnreachable."""
    address = worker.address
    if not address:
        full_name = f"{podspec.name(worker.pod)}_{podspec.namespace(worker.pod)}"
        raise status.failure(500, "InternalError", f'Internal error occurred: pod not found ("{full_name}")')
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncio.open_connection(address, port)
    except TimeoutError:
        reason = "i/o timeout"
    except OSError as error:
        reason = f"connect: {(error.strerror or str(error)).lower()}"
        if isinstance(error, ConnectionRefusedError):
            reason = "connect: connection refused"
    raise PortUnreachable(_refusal(podspec.uid(worker.pod), address, port, reason))


def _refusal(uid: str, address: str, port: int, reason: str) -> str:
    """The text that ``kubectl port-forward`` prints: containerd's, with the address for the network namespace."""
    dialled = f"IPv4: dial tcp4 127.0.0.1:{port}: {reason} IPv6 {_NO_IPV6}"
    return (
        f"error forwarding port {port} to pod {uid}, uid : failed to execute portforward in network namespace "
        f'"{address}": failed to connect to localhost:{port} inside namespace "{address}", {dialled} '
    )
