"""What a cluster name means: pure lookup in Services and EndpointSlices.

Source: Kubernetes, "DNS for Services and Pods".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.embedded.resources import Object

DOMAIN = "cluster.local"
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Lookup:
    """Addresses of a name. ``known`` is False when the name does not exist."""

    known: bool
    addresses: tuple[str, ...] = ()


def is_cluster_name(name: str) -> bool:
    """Whether the cluster is the authority for a name."""
    return name.rstrip(".").lower().endswith("." + DOMAIN)


def look_up(name: str, services: dict[tuple[str, str], Object], slices: Iterable[Object]) -> Lookup:
    """The A records of ``SERVICE.NAMESPACE.svc.cluster.local`` (or ``HOST.`` of it, for a headless Service)."""
    parts = name.rstrip(".").lower().removesuffix("." + DOMAIN).split(".")
    if len(parts) < 3 or parts[-1] != "svc":
        return Lookup(False)
    *host, service_name, namespace, _ = parts
    service = services.get((namespace, service_name))
    if service is None or len(host) > 1:
        return Lookup(False)
    cluster_ip = service.get("spec", {}).get("clusterIP", "None")
    if cluster_ip not in ("", "None"):
        return Lookup(not host, () if host else (cluster_ip,))
    found = _headless(service, slices, host[0] if host else None)
    return Lookup(bool(found) or not host, found)


def _headless(service: Object, slices: Iterable[Object], host: str | None) -> tuple[str, ...]:
    publish = service["spec"].get("publishNotReadyAddresses", False)
    addresses = []
    for one in slices:
        metadata = one["metadata"]
        if metadata["namespace"] != service["metadata"]["namespace"]:
            continue
        if (metadata.get("labels") or {}).get(SERVICE_NAME) != service["metadata"]["name"]:
            continue
        for endpoint in one.get("endpoints") or []:
            ready = endpoint.get("conditions", {}).get("ready") or publish
            named = host is None or endpoint.get("hostname") == host or endpoint["targetRef"]["name"] == host
            if ready and named:
                addresses.extend(endpoint["addresses"])
    return tuple(addresses)
