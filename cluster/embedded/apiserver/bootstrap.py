"""The objects that every cluster has before anybody asks for them."""

from __future__ import annotations

from cluster.embedded.apiserver.authorization import default_policy
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES, SERVICES, Object, Resource

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def bootstrap(registry: Registry, *, api_port: int = 6443) -> None:
    """Create the system namespaces, the Service default/kubernetes, and the default roles, unless they exist.

    Args:
        api_port: the port that the API server listens on.
    """
    for name in SYSTEM_NAMESPACES:
        _ensure(registry, NAMESPACES, _namespace(name))
    _ensure(registry, SERVICES, _kubernetes_service(api_port))
    for role in default_policy.cluster_roles():
        _ensure(registry, CLUSTER_ROLES, role)
    for binding in default_policy.cluster_role_bindings():
        _ensure(registry, CLUSTER_ROLE_BINDINGS, binding)


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


def _ensure(registry: Registry, resource: Resource, obj: Object) -> None:
    try:
        registry.create(resource, obj)
    except ApiError as error:
        if error.code != 409:
            raise
