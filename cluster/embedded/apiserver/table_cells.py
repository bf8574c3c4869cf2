"""The rows of all kinds but pods. Each function returns the cells of the columns that ``tables`` names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cluster.embedded.apiserver.table_format import (
    NONE,
    UNKNOWN,
    age,
    containers,
    label_selector,
    labels,
    shortened,
    since,
)
from cluster.embedded.resources import Object


def deployment(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        obj["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *containers(spec.get("template") or {}),
        label_selector(spec.get("selector")),
    ]


def replica_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        obj["metadata"]["name"],
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *containers(spec.get("template") or {}),
        label_selector(spec.get("selector")),
    ]


def service(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        obj["metadata"]["name"],
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or NONE,
        _external_address(obj),
        ",".join(_service_port(port) for port in spec.get("ports") or []) or NONE,
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _external_address(obj: Object) -> str:
    spec = obj.get("spec") or {}
    external = ",".join(spec.get("externalIPs") or [])
    if spec.get("type") == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        addresses = [entry.get("ip") or entry.get("hostname", "") for entry in ingress]
        return ",".join(filter(None, [*addresses, external])) or "<pending>"
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", NONE))
    return external or NONE


def _service_port(port: Object) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def endpoints(obj: Object, now: datetime) -> list[Any]:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or []
        for port in subset.get("ports") or []
        for address in subset.get("addresses") or []
    ]
    return [obj["metadata"]["name"], shortened(found), age(obj, now)]


def endpoint_slice(obj: Object, now: datetime) -> list[Any]:
    ports = [str(port.get("port") or "*") for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint["addresses"]]
    return [
        obj["metadata"]["name"],
        obj.get("addressType", ""),
        shortened(ports) if ports else "<unset>",
        shortened(addresses) if addresses else "<unset>",
        age(obj, now),
    ]


def node(obj: Object, now: datetime) -> list[Any]:
    info = (obj.get("status") or {}).get("nodeInfo") or {}
    return [
        obj["metadata"]["name"],
        _node_status(obj),
        _node_roles(obj),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _node_address(obj, "InternalIP"),
        _node_address(obj, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        _kernel(info),
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: Object) -> str:
    ready = [c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type") == "Ready"]
    shown = "Unknown" if not ready else "Ready" if ready[0].get("status") == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if (obj.get("spec") or {}).get("unschedulable") else shown


def _node_roles(obj: Object) -> str:
    prefix, roles = "node-role.kubernetes.io/", []
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(prefix) and len(key) > len(prefix):
            roles.append(key.removeprefix(prefix))
        elif key == "kubernetes.io/role" and value:
            roles.append(value)
    return ",".join(sorted(roles)) or NONE


def _node_address(obj: Object, kind: str) -> str:
    addresses = (obj.get("status") or {}).get("addresses") or []
    return next((a["address"] for a in addresses if a.get("type") == kind), NONE)


def _kernel(info: Object) -> str:
    kernel, architecture = info.get("kernelVersion"), info.get("architecture")
    if not kernel:
        return UNKNOWN
    return f"{kernel} ({architecture})" if architecture else str(kernel)


def namespace(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("status") or {}).get("phase", ""), age(obj, now)]


def config_map(obj: Object, now: datetime) -> list[Any]:
    size = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    return [obj["metadata"]["name"], size, age(obj, now)]


def secret(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("type", "Opaque"), len(obj.get("data") or {}), age(obj, now)]


def lease(obj: Object, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("spec") or {}).get("holderIdentity", ""), age(obj, now)]


def disruption_budget(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        obj["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        status.get("disruptionsAllowed", 0),
        age(obj, now),
    ]


def network_policy(obj: Object, now: datetime) -> list[Any]:
    selector = (obj.get("spec") or {}).get("podSelector")
    return [obj["metadata"]["name"], label_selector(selector), age(obj, now)]


def priority_class(obj: Object, now: datetime) -> list[Any]:
    return [
        obj["metadata"]["name"],
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy", "PreemptLowerPriority"),
    ]


def event(obj: Object, now: datetime) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    series = obj.get("series") or {}
    first_seen = obj.get("firstTimestamp") or obj.get("eventTime")
    last_seen = series.get("lastObservedTime") or obj.get("lastTimestamp") or first_seen
    kind = involved.get("kind", "").lower()
    return [
        since(last_seen, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{involved['name']}" if involved.get("name") else kind,
        involved.get("fieldPath", ""),
        _event_source(obj),
        (obj.get("message") or "").strip(),
        since(first_seen, now),
        series.get("count") or obj.get("count") or 1,
        obj["metadata"]["name"],
    ]


def _event_source(obj: Object) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else str(component)
