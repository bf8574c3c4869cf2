"""What the built-in admission plugins add to new objects: priorities, default tolerations, the not-ready taint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.names import shown_name
from cluster.embedded.resources import NAMESPACES, NODES, PODS, PRIORITY_CLASSES, Object, Resource
from cluster.embedded.store import NotFound, Store

_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_UNWELL = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_EVICT_AFTER_SECONDS = 300


def admit(store: Store, resource: Resource, obj: Object) -> None:
    """Complete a new object, in place. Raises ApiError (403, 404) when it may not be created."""
    if resource.namespaced:
        _namespace_accepts(store, resource, obj)
    if resource is PODS:
        _pod_priority(store, obj)
        _default_tolerations(obj["spec"])
    elif resource is NODES:
        _new_node_taint(obj["spec"])


def _namespace_accepts(store: Store, resource: Resource, obj: Object) -> None:
    """A store without any namespace is being set up, and takes everything."""
    name = obj["metadata"].get("namespace", "")
    try:
        namespace = store.get(NAMESPACES, "", name)
    except NotFound:
        if store.list(NAMESPACES):
            raise status.not_found(NAMESPACES, name) from None
        return
    if "deletionTimestamp" in namespace["metadata"]:
        raise status.namespace_terminating(resource, shown_name(obj), name)


def _pod_priority(store: Store, pod: Object) -> None:
    spec = pod["spec"]
    value, policy, name = _priority_of(store, spec.get("priorityClassName", ""))
    if value is None:
        problem = f"no PriorityClass with name {name} was found"
        raise status.forbidden(PODS, shown_name(pod), problem)
    if name:
        spec["priorityClassName"] = name
    spec.setdefault("priority", value)
    spec.setdefault("preemptionPolicy", policy)


def _priority_of(store: Store, name: str) -> tuple[int | None, str, str]:
    for candidate in store.list(PRIORITY_CLASSES):
        if candidate["metadata"]["name"] == name or (not name and candidate.get("globalDefault")):
            policy = candidate.get("preemptionPolicy", "PreemptLowerPriority")
            return candidate["value"], policy, candidate["metadata"]["name"]
    return (_SYSTEM_PRIORITIES.get(name) if name else 0), "PreemptLowerPriority", name


def _default_tolerations(spec: dict[str, Any]) -> None:
    missing = list(_missing_tolerations(spec.get("tolerations", [])))
    if missing:
        spec["tolerations"] = [*spec.get("tolerations", []), *missing]


def _missing_tolerations(tolerations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for key in _UNWELL:
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            yield {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _EVICT_AFTER_SECONDS,
            }


def _tolerates(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


def _new_node_taint(spec: dict[str, Any]) -> None:
    taint = {"key": _UNWELL[0], "effect": "NoSchedule"}
    if not any(t.get("key") == taint["key"] and t.get("effect") == taint["effect"] for t in spec.get("taints", ())):
        spec["taints"] = [*spec.get("taints", []), taint]
