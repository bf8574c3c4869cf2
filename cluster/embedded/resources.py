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
    subresources=("status", "log", "exec", "attach", "binding", "eviction", "ephemeralcontainers", "portforward"),
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


def _group(group: str, version: str, plural: str, kind: str, **kwargs: Any) -> Resource:
    return Resource(group, version, plural, kind, singular=kind.lower(), **kwargs)


JOBS = _group("batch", "v1", "jobs", "Job", categories=("all",), subresources=("status",))
CRON_JOBS = _group(
    "batch", "v1", "cronjobs", "CronJob", short_names=("cj",), categories=("all",), subresources=("status",)
)
STATEFUL_SETS = _group(
    "apps",
    "v1",
    "statefulsets",
    "StatefulSet",
    short_names=("sts",),
    categories=("all",),
    subresources=("status", "scale"),
)
DAEMON_SETS = _group(
    "apps", "v1", "daemonsets", "DaemonSet", short_names=("ds",), categories=("all",), subresources=("status",)
)
CONTROLLER_REVISIONS = _group("apps", "v1", "controllerrevisions", "ControllerRevision")
REPLICATION_CONTROLLERS = _core(
    "replicationcontrollers",
    "ReplicationController",
    short_names=("rc",),
    categories=("all",),
    subresources=("status", "scale"),
)
HORIZONTAL_POD_AUTOSCALERS = _group(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    short_names=("hpa",),
    categories=("all",),
    subresources=("status",),
)
PERSISTENT_VOLUME_CLAIMS = _core(
    "persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",), subresources=("status",)
)
PERSISTENT_VOLUMES = _core(
    "persistentvolumes", "PersistentVolume", namespaced=False, short_names=("pv",), subresources=("status",)
)
RESOURCE_QUOTAS = _core("resourcequotas", "ResourceQuota", short_names=("quota",), subresources=("status",))
LIMIT_RANGES = _core("limitranges", "LimitRange", short_names=("limits",))
POD_TEMPLATES = _core("podtemplates", "PodTemplate")
STORAGE_CLASSES = _group(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False, short_names=("sc",)
)
INGRESSES = _group("networking.k8s.io", "v1", "ingresses", "Ingress", short_names=("ing",), subresources=("status",))
INGRESS_CLASSES = _group("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False)
RUNTIME_CLASSES = _group("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)


def _review(group: str, kind: str, **kwargs: Any) -> Resource:
    """A question to the API server: it is answered, and not stored."""
    singular = kind.lower()
    return Resource(group, "v1", f"{singular}s", kind, singular=singular, verbs=("create",), **kwargs)


SELF_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "SelfSubjectAccessReview", namespaced=False)
SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "SubjectAccessReview", namespaced=False)
LOCAL_SUBJECT_ACCESS_REVIEWS = _review("authorization.k8s.io", "LocalSubjectAccessReview")
SELF_SUBJECT_RULES_REVIEWS = _review("authorization.k8s.io", "SelfSubjectRulesReview", namespaced=False)
SELF_SUBJECT_REVIEWS = _review("authentication.k8s.io", "SelfSubjectReview", namespaced=False)
TOKEN_REVIEWS = _review("authentication.k8s.io", "TokenReview", namespaced=False)

REVIEWS = (
    SELF_SUBJECT_ACCESS_REVIEWS, SUBJECT_ACCESS_REVIEWS, LOCAL_SUBJECT_ACCESS_REVIEWS, SELF_SUBJECT_RULES_REVIEWS,
    SELF_SUBJECT_REVIEWS, TOKEN_REVIEWS,
)  # fmt: skip

RESOURCES: tuple[Resource, ...] = (
    PODS, NODES, NAMESPACES, SERVICES, ENDPOINTS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, EVENTS,
    DEPLOYMENTS, REPLICA_SETS, ENDPOINT_SLICES, LEASES, POD_DISRUPTION_BUDGETS, PRIORITY_CLASSES,
    NETWORK_POLICIES, NETWORK_FAULTS, ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, JOBS,
    CRON_JOBS, STATEFUL_SETS, DAEMON_SETS, CONTROLLER_REVISIONS, REPLICATION_CONTROLLERS, HORIZONTAL_POD_AUTOSCALERS,
    PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, RESOURCE_QUOTAS, LIMIT_RANGES, POD_TEMPLATES, STORAGE_CLASSES,
    INGRESSES, INGRESS_CLASSES, RUNTIME_CLASSES,
)  # fmt: skip
"""The resources whose objects are kept."""

BINDINGS = Resource("", "v1", "bindings", "Binding", singular="binding", verbs=("create",))
"""The older way to put a pod on a node; nothing is stored."""

EVENTS_V1 = _group("events.k8s.io", "v1", "events", "Event", short_names=("ev",))
"""The same objects as EVENTS, with other names for their fields."""

SERVED = (*RESOURCES, *REVIEWS, BINDINGS, EVENTS_V1)
"""All that discovery lists."""

BY_PATH: Mapping[tuple[str, str, str], Resource] = {(r.group, r.version, r.plural): r for r in SERVED}
BY_KIND: Mapping[tuple[str, str], Resource] = {(r.api_version, r.kind): r for r in RESOURCES}
