"""Addresses of Services: ClusterIPs and node ports, given on creation and kept for life."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.gotext import compact_json
from cluster.embedded.resources import SERVICES, Object
from cluster.embedded.store import Store

_FIRST_NODE_PORT, _LAST_NODE_PORT = 30_000, 32_767


class ServiceAllocator:
    """Completes a Service's spec.

    Args:
        store: where the other Services are.
        next_address: gives an address that it has not given before; None leaves Services without an address.
        range_: where the addresses are from, which a Service may also choose one of.
    """

    def __init__(
        self,
        store: Store,
        next_address: Callable[[], str] | None,
        range_: ipaddress.IPv4Network | None = None,
    ) -> None:
        self._store = store
        self._next_address = next_address
        self._range = range_

    def allocate(self, service: Object, old: Object | None = None) -> None:
        """Fill in addresses and node ports, in place. Raises ApiError 422 for an address that is taken."""
        spec = dict(service["spec"])
        service["spec"] = spec
        if spec.get("type") == "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(key, None)
            return
        self._cluster_ip(service, spec, old)
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            self._node_ports(spec, (old or {}).get("spec", {}))

    def _cluster_ip(self, service: Object, spec: dict[str, Any], old: Object | None) -> None:
        before = (old or {}).get("spec", {}).get("clusterIP")
        address = spec.get("clusterIP") or before
        if address and address not in ("None", before):
            self._check_free(service, address)
        if not address and self._next_address is not None:
            address = self._free_address()
        if address:
            spec["clusterIP"] = address
            spec["clusterIPs"] = [address]

    def _free_address(self) -> str:
        assert self._next_address is not None
        taken = self._taken()
        while (address := self._next_address()) in taken:
            pass
        return address

    def _check_free(self, service: Object, address: str) -> None:
        problem = ""
        try:
            ipaddress.ip_address(address)
        except ValueError:
            problem = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        if address in self._taken():
            problem = f"failed to allocate IP {address}: provided IP is already allocated"
        elif not problem and self._range and ipaddress.ip_address(address) not in self._range:
            problem = (
                f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
                f"The range of valid IPs is {self._range}"
            )
        if problem:
            detail = f"Invalid value: {compact_json([address])}: {problem}"
            cause = {"reason": "FieldValueInvalid", "message": detail, "field": "spec.clusterIPs"}
            raise status.invalid(SERVICES, service["metadata"]["name"], [cause])

    def _taken(self) -> set[str]:
        return {service["spec"].get("clusterIP", "") for service in self._store.list(SERVICES)}

    def _node_ports(self, spec: dict[str, Any], before: dict[str, Any]) -> None:
        kept = {_port_key(port): port["nodePort"] for port in before.get("ports", ()) if "nodePort" in port}
        taken = {
            port.get("nodePort") for service in self._store.list(SERVICES) for port in service["spec"].get("ports", ())
        }
        free = (port for port in range(_FIRST_NODE_PORT, _LAST_NODE_PORT + 1) if port not in taken)
        spec["ports"] = [
            port if "nodePort" in port else {**port, "nodePort": kept.get(_port_key(port)) or next(free)}
            for port in spec.get("ports", ())
        ]


def _port_key(port: dict[str, Any]) -> tuple[Any, Any]:
    return port.get("port"), port.get("protocol")
