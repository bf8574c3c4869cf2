"""The kinds the embedded cluster serves. What is not listed here is answered 404, never pretended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON. Objects read from a client are shared: copy before changing one."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API, as discovery lists it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = field(
        default=("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    )

    @property
    def api_version(self) -> str:
        """``v1`` for the core group, else ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``, as Status messages name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _core(plural: str, kind: str, **kwargs: Any) -> Resource:
    return Resource("", "v1", plural, kind, singular=kind.lower(), **kwargs)


PODS = _core(
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    subresources=("status", "log", "exec", "binding", "eviction", "ephemeralcontainers", "portforward"),
)
NODES = _core("nodes", "Node", namespaced=False, short_names=("no",), subresources=("status",))
NAMESPACES = _core(
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    subresources=("status", "finalize"),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
)
SERVICES = _core("services", "Service", short_names=("svc",), categories=("all",), subresources=("status",))
ENDPOINTS = _core("endpoints", "Endpoints", short_names=("ep",))
CONFIG_MAPS = _core("configmaps", "ConfigMap", short_names=("cm",))
SECRETS = _core("secrets", "Secret")
SERVICE_ACCOUNTS = _core("serviceaccounts", "ServiceAccount", short_names=("sa",), subresources=("token",))
EVENTS = _core("events", "Event", short_names=("ev",))
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
)
REPLICA_SETS = Resource(
    "apps",
    "v1",
    "replicasets",
    "ReplicaSet",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", singular="endpointslice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", singular="lease")
POD_DISRUPTION_BUDGETS = Resource(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    subresources=("status",),
)
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io",
    "v1",
    "priorityclasses",
    "PriorityClass",
    namespaced=False,
    singular="priorityclass",
    short_names=("pc",),
)
NETWORK_POLICIES = Resource(
    "networking.k8s.io",
    "v1",
    "networkpolicies",
    "NetworkPolicy",
    singular="networkpolicy",
    short_names=("netpol",),
)
NETWORK_FAULTS = Resource(
    "chaos.gameday.dev",
    "v1alpha1",
    "networkfaults",
    "NetworkFault",
    singular="networkfault",
    short_names=("nf",),
    subresources=("status",),
)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", singular="role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", singular="rolebinding")
CLUSTER_ROLES = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False, singular="clusterrole"
)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io",
    "v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
    namespaced=False,
    singular="clusterrolebinding",
)

RESOURCES: tuple[Resource, ...] = (
    PODS, NODES, NAMESPACES, SERVICES, ENDPOINTS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, EVENTS,
    DEPLOYMENTS, REPLICA_SETS, ENDPOINT_SLICES, LEASES, POD_DISRUPTION_BUDGETS, PRIORITY_CLASSES,
    NETWORK_POLICIES, NETWORK_FAULTS, ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS,
)  # fmt: skip

BY_PATH: Mapping[tuple[str, str, str], Resource] = {(r.group, r.version, r.plural): r for r in RESOURCES}
BY_KIND: Mapping[tuple[str, str], Resource] = {(r.api_version, r.kind): r for r in RESOURCES}
