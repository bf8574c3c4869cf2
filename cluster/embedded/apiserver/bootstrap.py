"""The objects that every cluster has before anybody asks for them."""

from __future__ import annotations

from cluster.embedded.apiserver.authorization import default_policy
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICES,
    Object,
    Resource,
)

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


_API_ADDRESS = "127.0.0.1"
_PRIORITY_CLASSES: list[Object] = [
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": f"Used for system critical pods that must {rule}.",
    }
    for name, value, rule in (
        ("system-cluster-critical", 2_000_000_000, "run in the cluster, but can be moved to another node if necessary"),
        ("system-node-critical", 2_000_001_000, "not be moved from their current node"),
    )
]


def bootstrap(registry: Registry, *, api_port: int = 6443, api_address: str = _API_ADDRESS) -> None:
    """Create what every cluster has, unless it exists: namespaces, the API's Service, roles, priority classes.

    Args:
        api_port: the port that the API server listens on.
        api_address: where it says that it listens.
    """
    for name in SYSTEM_NAMESPACES:
        _ensure(registry, NAMESPACES, _namespace(name))
    _ensure(registry, SERVICES, _kubernetes_service(api_port))
    _ensure(registry, ENDPOINTS, _kubernetes_endpoints(api_address, api_port))
    _ensure(registry, ENDPOINT_SLICES, _kubernetes_slice(api_address, api_port))
    for role in default_policy.cluster_roles():
        _ensure(registry, CLUSTER_ROLES, role)
    for binding in default_policy.cluster_role_bindings():
        _ensure(registry, CLUSTER_ROLE_BINDINGS, binding)
    for priority_class in _PRIORITY_CLASSES:
        _ensure(registry, PRIORITY_CLASSES, priority_class)
    registry.store.forget_changes()


def _namespace(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _kubernetes_service(port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    }


def _kubernetes_endpoints(address: str, port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    }


def _kubernetes_slice(address: str, port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }


def _ensure(registry: Registry, resource: Resource, obj: Object) -> None:
    try:
        registry.create(resource, obj, field_manager="kube-apiserver")
    except ApiError as error:
        if error.code != 409:
            raise
