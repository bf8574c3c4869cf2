"""What passes through the network, as values: pods, connections, and what is wrong with a connection's way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.embedded.meta import labels_of
from cluster.embedded.resources import Object

Endpoint = tuple[str, int]
"""(address, port)"""


@dataclass(frozen=True, slots=True)
class PodPeer:
    """A pod as the network knows it. ``ports`` maps names of TCP container ports to numbers."""

    namespace: str
    name: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: Object) -> PodPeer | None:
        """The peer that a Pod object describes; None while it has no address, and once it has ended."""
        status: dict[str, Any] = pod.get("status") or {}
        address = status.get("podIP")
        if not address or status.get("phase") in ("Succeeded", "Failed"):
            return None
        ports = {
            port["name"]: int(port["containerPort"])
            for container in pod["spec"].get("containers") or []
            for port in container.get("ports") or []
            if port.get("name") and port.get("protocol", "TCP") == "TCP"
        }
        metadata = pod["metadata"]
        return cls(metadata["namespace"], metadata["name"], address, labels_of(pod), ports)


@dataclass(frozen=True, slots=True)
class Flow:
    """One TCP connection from a source to an endpoint.

    Attributes:
        source: the pod it comes from; None when it comes from outside of the pods, that is, from the node.
        destination: the pod it goes to; None when the address is no pod's.
        port: destination port, the pod's and not the Service's.
        service: (namespace, name) of the Service whose ClusterIP was dialed, if any.
    """

    source: PodPeer | None
    destination: PodPeer | None
    source_address: str
    address: str
    port: int
    service: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LinkFault:
    """What is wrong with a way through the network.

    Attributes:
        delay_seconds: by how much later everything arrives that the client sends, its connection included.
        jitter_seconds: the delay varies evenly by up to this much, either way.
        reset_ratio: share (0-1) of connections that are reset.
        black_hole: no byte passes, and nobody is told.
    """

    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    reset_ratio: float = 0.0
    black_hole: bool = False


CLEAR = LinkFault()
DROPPED = LinkFault(black_hole=True)


def combined(faults: Iterable[LinkFault]) -> LinkFault:
    """Several faults of one way at once: delays add up, and a connection survives each reset independently."""
    delay = jitter = 0.0
    survives = 1.0
    black_hole = False
    for fault in faults:
        delay += fault.delay_seconds
        jitter += fault.jitter_seconds
        survives *= 1 - fault.reset_ratio
        black_hole = black_hole or fault.black_hole
    return LinkFault(delay, jitter, 1 - survives, black_hole)
