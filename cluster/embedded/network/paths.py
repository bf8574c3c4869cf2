"""What stands between any two addresses of the cluster at this moment: NetworkPolicies and active NetworkFaults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from cluster.embedded.informer import Informer, Key
from cluster.embedded.meta import key_of, labels_of
from cluster.embedded.network import policy
from cluster.embedded.network.addresses import is_pod_address
from cluster.embedded.network.fault_spec import DnsAnswer, NetworkFault
from cluster.embedded.network.flows import CLEAR, DROPPED, Endpoint, Flow, LinkFault, PodPeer, combined
from cluster.embedded.resources import Object

NODE = "127.0.0.1"
"""Where connections come from that do not come from a pod, such as the harness's."""


class Paths:
    """Knows the pods by their addresses, and what is wrong with the way between two of them.

    Attributes:
        faults: those in effect; change them by `set_fault`.
    """

    def __init__(self, pods: Informer, namespaces: Informer, policies: Informer) -> None:
        self._pods: dict[str, PodPeer] = {}
        self.faults: dict[Key, NetworkFault] = {}
        self._policies = policies
        self._namespaces = namespaces
        self._listeners: list[Callable[[], None]] = []
        self._pending: asyncio.Handle | None = None
        pods.add_handler(self._on_pod)
        namespaces.add_handler(self._on_namespace)
        policies.add_handler(lambda old, new: self._soon())

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this whenever an answer may have changed."""
        self._listeners.append(listener)

    def set_fault(self, key: Key, fault: NetworkFault | None) -> None:
        """Begin, change or end (None) a fault. It is in effect when this returns."""
        if self.faults.get(key) == fault:
            return
        if fault is None:
            del self.faults[key]
        else:
            self.faults[key] = fault
        self._changed()

    def pods(self) -> Iterator[PodPeer]:
        """Every pod that has an address."""
        yield from self._pods.values()

    def fault(self, source: str, endpoint: Endpoint, service: Key | None = None) -> LinkFault:
        """What is wrong with the way from an address to an endpoint, dialed by a Service's ClusterIP or directly."""
        if not self.faults and not self._policies.objects:
            return CLEAR
        flow = Flow(self._pods.get(source), self._pods.get(endpoint[0]), source, *endpoint, service)
        if self._policies.objects and not self._allowed(flow):
            return DROPPED
        return combined(fault.link for fault in self.faults.values() if fault.concerns(flow))

    def unanswered(self, endpoints: Sequence[Endpoint], service: Key) -> Iterable[str]:
        """The addresses from which no way leads to any of the endpoints of a Service."""
        holes = any(fault.link.black_hole for fault in self.faults.values())
        if not holes and not self._policies.objects:
            return []
        return [
            source
            for source in (NODE, *self._pods)
            if all(self.fault(source, endpoint, service).black_hole for endpoint in endpoints)
        ]

    def dns_fault(self, name: str, source: str) -> DnsAnswer | None:
        """How a lookup of a name (lower case, no trailing dot) from an address fails, if it does."""
        peer = self._pods.get(source)
        return next((fault.dns_answer for fault in self.faults.values() if fault.fails_name(name, peer)), None)

    def _allowed(self, flow: Flow) -> bool:
        # A pod's first packets may be ahead of the news of its address. Until it is known nobody vouches for it.
        if flow.source is None and is_pod_address(flow.source_address):
            return False
        if flow.destination is None and is_pod_address(flow.address):
            return False
        namespaces = {name: labels_of(obj) for (_, name), obj in self._namespaces.objects.items()}
        return policy.allowed(flow, self._policies.objects.values(), namespaces)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        was, now = old and PodPeer.of(old), new and PodPeer.of(new)
        if was == now:
            return
        if was and (known := self._pods.get(was.address)) and (known.namespace, known.name) == key_of(old or {}):
            del self._pods[was.address]
        if now:
            self._pods[now.address] = now
        if self.faults or self._policies.objects:
            self._soon()

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if self._policies.objects and (old and labels_of(old)) != (new and labels_of(new)):
            self._soon()

    def _soon(self) -> None:
        """Tell once of all changes that come together."""
        if self._pending is None:
            self._pending = asyncio.get_running_loop().call_soon(self._changed)

    def _changed(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        for listener in self._listeners:
            listener()
