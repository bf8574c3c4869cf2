"""From a Service and its pods to endpoints: EndpointSlices and the legacy Endpoints object. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.embedded.controllers.pods import is_finished, is_ready
from cluster.embedded.meta import controller_reference, is_deleted, labels_of
from cluster.embedded.resources import Object

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
CHANGED_AT = "endpoints.kubernetes.io/last-change-trigger-time"
_PER_SLICE = 100

Ports = tuple[tuple[str, int, str, str], ...]
"""(name, port, protocol, appProtocol) for each port of the Service, as one group of pods serves them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one EndpointSlice should hold."""

    ports: Ports
    endpoints: tuple[Object, ...]


def selects(service: Object, pod: Object) -> bool:
    """Whether the Service has a selector and it matches the pod."""
    selector = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= labels_of(pod).items()


def eligible(pod: Object) -> bool:
    """Whether the pod can be an endpoint: it has an address and has not finished."""
    return bool((pod.get("status") or {}).get("podIP")) and not is_finished(pod)


def ports_of(service: Object, pod: Object) -> Ports:
    """The Service's ports on this pod; a named targetPort the pod does not have is left out."""
    found = []
    for port in service["spec"].get("ports") or []:
        number = _target(port, pod)
        if number is not None:
            protocol = port.get("protocol", "TCP")
            found.append((port.get("name") or "", number, protocol, port.get("appProtocol") or ""))
    return tuple(found)


def _target(port: Object, pod: Object) -> int | None:
    target = port.get("targetPort")
    if target is None or target == 0 or target == "":
        return int(port["port"])
    if isinstance(target, int) or str(target).isdigit():
        return int(target)
    for container in pod["spec"].get("containers") or []:
        for declared in container.get("ports") or []:
            same = declared.get("protocol", "TCP") == port.get("protocol", "TCP")
            if declared.get("name") == target and same:
                return int(declared["containerPort"])
    return None


def endpoint_of(service: Object, pod: Object) -> Object:
    """One endpoint. A terminating pod stays listed: not ready, serving as long as it passes its probe."""
    serving, terminating = is_ready(pod), is_deleted(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": _target_ref(pod),
    }
    if node := pod["spec"].get("nodeName"):
        endpoint["nodeName"] = node
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def _target_ref(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }


def plan_slices(service: Object, pods: Iterable[Object], known: Sequence[str]) -> list[Wanted]:
    """The slices of a Service: at least one, pods with the same ports together, at most 100 in each.

    Args:
        service: with a selector.
        pods: those it selects.
        known: uids of pods in the order in which they are listed now; new ones come after them.
    """
    order = {uid: position for position, uid in enumerate(known)}
    groups: dict[Ports, list[Object]] = {}
    for pod in sorted(pods, key=lambda pod: order.get(pod["metadata"]["uid"], len(order))):
        if eligible(pod):
            groups.setdefault(ports_of(service, pod), []).append(endpoint_of(service, pod))
    return [
        Wanted(ports, tuple(endpoints[start : start + _PER_SLICE]))
        for ports, endpoints in groups.items()
        for start in range(0, len(endpoints), _PER_SLICE)
    ] or [Wanted((), ())]


def slice_content(service: Object, wanted: Wanted) -> Object:
    """The fields of an EndpointSlice that the controller decides."""
    inherited = {k: v for k, v in labels_of(service).items() if k not in (SERVICE_NAME, MANAGED_BY, HEADLESS)}
    headless = {HEADLESS: ""} if service["spec"].get("clusterIP") == "None" else {}
    return {
        "labels": {**inherited, **headless, MANAGED_BY: MANAGER, SERVICE_NAME: service["metadata"]["name"]},
        "endpoints": list(wanted.endpoints) or None,
        "ports": [_port(port) for port in wanted.ports] or None,
    }


def _port(port: tuple[str, int, str, str]) -> Object:
    name, number, protocol, application = port
    fields: Object = {"name": name, "port": number, "protocol": protocol}
    return {**fields, "appProtocol": application} if application else fields


def new_slice(service: Object, content: Object, triggered: str | None) -> Object:
    """An EndpointSlice to create; it is deleted with its Service."""
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": content["labels"],
            "annotations": annotated({}, triggered),
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": content["endpoints"],
        "ports": content["ports"],
    }


def annotated(annotations: dict[str, str], triggered: str | None) -> dict[str, str]:
    """The annotations with the time of the change that a write answers to; without it when there is none."""
    others = {key: value for key, value in annotations.items() if key != CHANGED_AT}
    return {**others, CHANGED_AT: triggered} if triggered else others


def legacy_endpoints(service: Object, pods: Iterable[Object], triggered: str | None) -> Object:
    """The Endpoints object of the same name: ready and not ready addresses, terminating pods left out."""
    metadata = service["metadata"]
    headless = {HEADLESS: ""} if service["spec"].get("clusterIP") == "None" else {}
    endpoints: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {
                **labels_of(service),
                **headless,
                "endpoints.kubernetes.io/managed-by": "endpoint-controller",
            },
            "annotations": annotated({}, triggered),
        },
    }
    if subsets := _subsets(service, pods):
        endpoints["subsets"] = subsets
    return endpoints


def _subsets(service: Object, pods: Iterable[Object]) -> list[Object]:
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[Ports, dict[str, list[Any]]] = {}
    for pod in pods:
        if not eligible(pod) or (is_deleted(pod) and not publish):
            continue
        kind = "addresses" if is_ready(pod) or publish else "notReadyAddresses"
        address: Object = {"ip": pod["status"]["podIP"], "targetRef": _target_ref(pod)}
        if node := pod["spec"].get("nodeName"):
            address["nodeName"] = node
        groups.setdefault(ports_of(service, pod), {}).setdefault(kind, []).append(address)
    return [
        {
            **{kind: sorted(found, key=lambda item: str(item["ip"])) for kind, found in sorted(kinds.items())},
            "ports": [_legacy_port(port) for port in ports],
        }
        for ports, kinds in sorted(groups.items())
    ]


def _legacy_port(port: tuple[str, int, str, str]) -> Object:
    return {key: value for key, value in _port(port).items() if value != ""}
