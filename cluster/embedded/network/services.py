"""The kube-proxy of the cluster: every port of every ClusterIP Service is a listener on loopback."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from cluster.embedded.informer import Informer, Key, WorkQueue
from cluster.embedded.network.flows import Endpoint
from cluster.embedded.network.names import SERVICE_NAME
from cluster.embedded.network.paths import Paths
from cluster.embedded.network.proxy import Listener
from cluster.embedded.resources import Object

log = logging.getLogger(__name__)


def ready_endpoints(slices: list[Object], port_name: str) -> list[Endpoint]:
    """Addresses and port of the endpoints that are ready, for one named port of a Service."""
    found: list[Endpoint] = []
    for one in slices:
        port = next((p["port"] for p in one.get("ports") or [] if (p.get("name") or "") == port_name), None)
        if port is None:
            continue
        for endpoint in one.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready"):
                found.extend((address, int(port)) for address in endpoint["addresses"])
    return found


class ServiceProxy:
    """Opens, feeds and closes listeners as Services and their endpoints come and go."""

    def __init__(self, services: Informer, slices: Informer, paths: Paths) -> None:
        self._paths = paths
        self._services = services
        self._slices = slices
        self._listeners: dict[Key, dict[tuple[str, int], Listener]] = {}
        self._queue = WorkQueue(self._reconcile, name="service-proxy")
        services.add_handler(self._on_service)
        slices.add_handler(self._on_slice)
        paths.on_change(self._on_change)

    async def run(self) -> None:
        """Work until cancelled, then close every listener."""
        try:
            await asyncio.gather(self._services.synced.wait(), self._slices.synced.wait())
            await self._queue.run()
        finally:
            for listeners in self._listeners.values():
                for listener in listeners.values():
                    listener.close()

    def _on_change(self) -> None:
        for key, listeners in self._listeners.items():
            for listener in listeners.values():
                listener.update(partial(self._paths.unanswered, service=key))

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        self._queue.add((obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        name = (obj["metadata"].get("labels") or {}).get(SERVICE_NAME)
        if name:
            self._queue.add((obj["metadata"]["namespace"], name))

    async def _reconcile(self, key: Key) -> None:
        service = self._services.get(*key)
        wanted = _ports(service)
        listeners = self._listeners.setdefault(key, {})
        for gone in [where for where in listeners if where not in wanted]:
            listeners.pop(gone).close()
        slices = [
            one
            for one in self._slices.in_namespace(key[0])
            if (one["metadata"].get("labels") or {}).get(SERVICE_NAME) == key[1]
        ]
        for where, port_name in wanted.items():
            listener = listeners.get(where)
            if listener is None:
                listener = listeners[where] = Listener(*where, partial(self._paths.fault, service=key))
            try:
                listener.set_endpoints(ready_endpoints(slices, port_name))
            except OSError as error:
                log.error("cannot listen on %s:%s for %s/%s: %s", *where, *key, error)
            listener.update(partial(self._paths.unanswered, service=key))
        if not listeners:
            del self._listeners[key]


def _ports(service: Object | None) -> dict[tuple[str, int], str]:
    """(ClusterIP, port) -> port name of a Service's TCP ports; nothing for a headless or external one."""
    if service is None:
        return {}
    spec: dict[str, Any] = service["spec"]
    address = spec.get("clusterIP")
    if address in (None, "", "None") or spec.get("type") == "ExternalName":
        return {}
    return {
        (address, int(port["port"])): port.get("name") or ""
        for port in spec.get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
    }
