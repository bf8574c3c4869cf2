"""Reads pods with Kubernetes' defaults, so that the rest of the node never asks whether a field is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import Object

GPU = "nvidia.com/gpu"
_DEFAULT_GRACE_SECONDS = 30


def uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def namespace(pod: Object) -> str:
    return str(pod["metadata"].get("namespace") or "default")


def name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def containers(pod: Object) -> list[Object]:
    return list(pod["spec"].get("containers") or [])


def init_containers(pod: Object) -> list[Object]:
    return list(pod["spec"].get("initContainers") or [])


def all_containers(pod: Object) -> list[Object]:
    return init_containers(pod) + containers(pod)


def container(pod: Object, container_name: str) -> Object | None:
    return next((c for c in all_containers(pod) if c["name"] == container_name), None)


def is_sidecar(spec: Object) -> bool:
    """Whether an init container keeps running beside the others."""
    return spec.get("restartPolicy") == "Always"


def restart_policy(pod: Object) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def grace_seconds(pod: Object) -> float:
    """The grace that the pod's spec gives its containers."""
    value = pod["spec"].get("terminationGracePeriodSeconds")
    return float(_DEFAULT_GRACE_SECONDS if value is None else value)


def deletion_grace_seconds(pod: Object) -> float:
    """The grace that the deletion of the pod asks for."""
    value = pod["metadata"].get("deletionGracePeriodSeconds")
    return grace_seconds(pod) if value is None else float(value)


def is_terminating(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def pull_policy(spec: Object) -> str:
    if policy := spec.get("imagePullPolicy"):
        return str(policy)
    image = str(spec.get("image", ""))
    untagged = ":" not in image.rsplit("/", 1)[-1]
    return "Always" if untagged or image.endswith(":latest") else "IfNotPresent"


def limit(spec: Object, resource: str) -> Any:
    return ((spec.get("resources") or {}).get("limits") or {}).get(resource)


def memory_limit_bytes(spec: Object) -> int | None:
    quantity = limit(spec, "memory")
    return None if quantity is None else int(parse_quantity(quantity))


def cpu_limit(spec: Object) -> float | None:
    """Cores, or None."""
    quantity = limit(spec, "cpu")
    return None if quantity is None else float(parse_quantity(quantity))


def gpus(spec: Object) -> int:
    return int(parse_quantity(limit(spec, GPU) or 0))


def requests(spec: Object) -> dict[str, str]:
    """Requests, which default to the limits."""
    resources = spec.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def port_number(spec: Object, port: int | str) -> int | None:
    """A container port by number or name; None when no port has that name."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    return next((int(p["containerPort"]) for p in spec.get("ports") or [] if p.get("name") == port), None)


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by cpu and memory of all containers."""
    sides = [(requests(c), (c.get("resources") or {}).get("limits") or {}) for c in all_containers(pod)]
    if not any(_computing(side) for pair in sides for side in pair):
        return "BestEffort"
    guaranteed = all(set(limits) >= {"cpu", "memory"} and _equal(asked, limits) for asked, limits in sides)
    return "Guaranteed" if guaranteed else "Burstable"


def reference(pod: Object) -> Object:
    """The pod as an ObjectReference of events."""
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": namespace(pod),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }


def field_path(pod: Object, container_name: str) -> str:
    """What events of a container name: ``spec.containers{app}``."""
    is_init = any(c["name"] == container_name for c in init_containers(pod))
    return f"spec.{'initContainers' if is_init else 'containers'}{{{container_name}}}"


def volume_mounts(spec: Object) -> Iterator[Object]:
    yield from spec.get("volumeMounts") or []


def _computing(resources: dict[str, Any]) -> bool:
    return any(parse_quantity(resources.get(key, 0)) for key in ("cpu", "memory"))


def _equal(asked: dict[str, Any], limits: dict[str, Any]) -> bool:
    return all(parse_quantity(asked[key]) == parse_quantity(limits[key]) for key in ("cpu", "memory"))
