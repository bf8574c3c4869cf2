"""NetworkPolicy: whether a connection may pass. Pure.

Source: Kubernetes, "Network Policies", and the API reference of networking.k8s.io/v1. A pod is isolated in a direction
as soon as one policy of that direction selects it; then only what some such policy allows may pass. Both ends must
agree. The node may always reach its pods, and a pod may always reach itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from cluster.embedded.meta import matches_selector
from cluster.embedded.network.flows import Flow, PodPeer
from cluster.embedded.resources import Object

NamespaceLabels = Mapping[str, Mapping[str, str]]


def allowed(flow: Flow, policies: Iterable[Object], namespaces: NamespaceLabels) -> bool:
    """Whether the policies let a connection pass.

    Args:
        policies: every NetworkPolicy of the cluster.
        namespaces: labels of every namespace, by name.
    """
    if flow.source is None or flow.source == flow.destination:
        return True
    known = list(policies)
    leaves = _passes("Egress", flow.source, flow.destination, flow.address, flow, known, namespaces)
    enters = flow.destination is None or _passes(
        "Ingress", flow.destination, flow.source, flow.source_address, flow, known, namespaces
    )
    return leaves and enters


def directions(policy: Object) -> frozenset[str]:
    """The policyTypes in force: by default Ingress, and Egress when there are egress rules."""
    spec = policy["spec"]
    given = spec.get("policyTypes")
    if given:
        return frozenset(given)
    return frozenset({"Ingress", "Egress"} if spec.get("egress") else {"Ingress"})


def _passes(
    direction: str,
    pod: PodPeer,
    other: PodPeer | None,
    other_address: str,
    flow: Flow,
    policies: list[Object],
    namespaces: NamespaceLabels,
) -> bool:
    isolating = [policy for policy in policies if _selects(policy, pod) and direction in directions(policy)]
    if not isolating:
        return True
    rules_key, peers_key = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        _any_port(rule.get("ports"), flow) and _any_peer(rule.get(peers_key), policy, other, other_address, namespaces)
        for policy in isolating
        for rule in policy["spec"].get(rules_key) or []
    )


def _selects(policy: Object, pod: PodPeer) -> bool:
    return policy["metadata"]["namespace"] == pod.namespace and matches_selector(
        policy["spec"].get("podSelector"), dict(pod.labels)
    )


def _any_peer(
    peers: list[dict[str, Any]] | None,
    policy: Object,
    other: PodPeer | None,
    other_address: str,
    namespaces: NamespaceLabels,
) -> bool:
    if not peers:
        return True
    home = policy["metadata"]["namespace"]
    return any(
        _in_block(peer["ipBlock"], other_address)
        if peer.get("ipBlock")
        else other is not None and _is_peer(peer, home, other, namespaces)
        for peer in peers
    )


def _is_peer(peer: dict[str, Any], home: str, pod: PodPeer, namespaces: NamespaceLabels) -> bool:
    if peer.get("namespaceSelector") is None:
        if pod.namespace != home:
            return False
    elif not matches_selector(peer["namespaceSelector"], dict(namespaces.get(pod.namespace, {}))):
        return False
    return peer.get("podSelector") is None or matches_selector(peer["podSelector"], dict(pod.labels))


def _in_block(block: dict[str, Any], address: str) -> bool:
    ip = ipaddress.ip_address(address)
    if ip not in ipaddress.ip_network(block["cidr"], strict=False):
        return False
    return not any(ip in ipaddress.ip_network(one, strict=False) for one in block.get("except") or [])


def _any_port(ports: list[dict[str, Any]] | None, flow: Flow) -> bool:
    return not ports or any(_is_port(port, flow) for port in ports)


def _is_port(port: dict[str, Any], flow: Flow) -> bool:
    if (port.get("protocol") or "TCP") != "TCP":
        return False
    wanted = port.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return flow.destination is not None and flow.destination.ports.get(wanted) == flow.port
    return bool(wanted <= flow.port <= (port.get("endPort") or wanted))
