"""The roles and bindings that every cluster has.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings. The user-facing
roles hold what the embedded cluster serves and the names that charts commonly grant besides.
"""

from __future__ import annotations

from collections.abc import Iterable

from cluster.embedded.apiserver.authorization.attributes import AUTHENTICATED, MASTERS, UNAUTHENTICATED
from cluster.embedded.resources import Object

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_RBAC = "rbac.authorization.k8s.io"
_API_VERSION = f"{_RBAC}/v1"

_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH)

_WORKLOADS = {
    "apps": ("daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets",
             "statefulsets/scale"),
    "autoscaling": ("horizontalpodautoscalers",),
    "batch": ("cronjobs", "jobs"),
    "policy": ("poddisruptionbudgets",),
    "networking.k8s.io": ("ingresses", "networkpolicies"),
}  # fmt: skip
_WITH_STATUS = ("daemonsets", "deployments", "replicasets", "statefulsets", "horizontalpodautoscalers", "cronjobs",
                "jobs", "poddisruptionbudgets", "ingresses")  # fmt: skip
_CORE = ("configmaps", "endpoints", "persistentvolumeclaims", "pods", "replicationcontrollers",
         "replicationcontrollers/scale", "serviceaccounts", "services")  # fmt: skip
_CORE_READ = ("bindings", "events", "limitranges", "namespaces", "namespaces/status", "persistentvolumeclaims/status",
              "pods/log", "pods/status", "replicationcontrollers/status", "resourcequotas", "resourcequotas/status",
              "services/status")  # fmt: skip
_POD_ACCESS = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")


def cluster_roles() -> list[Object]:
    """The default ClusterRoles."""
    everything = [rule(["*"], ["*"], ["*"]), urls(["*"], ["*"])]
    return [
        role("cluster-admin", everything),
        _aggregated("admin", "admin"),
        _aggregated("edit", "edit", part_of="admin"),
        _aggregated("view", "view", part_of="edit"),
        role("system:aggregate-to-admin", _admin(), part_of="admin"),
        role("system:aggregate-to-edit", _edit(), part_of="edit"),
        role("system:aggregate-to-view", _view(), part_of="view"),
        role("system:discovery", [urls(["get"], sorted(_DISCOVERY))]),
        role("system:public-info-viewer", [urls(["get"], sorted(_HEALTH))]),
        role("system:basic-user", _basic_user()),
        role("system:auth-delegator", _auth_delegator()),
    ]


def cluster_role_bindings() -> list[Object]:
    """The default ClusterRoleBindings."""
    return [
        binding("cluster-admin", [MASTERS]),
        binding("system:discovery", [AUTHENTICATED]),
        binding("system:basic-user", [AUTHENTICATED]),
        binding("system:public-info-viewer", [AUTHENTICATED, UNAUTHENTICATED]),
    ]


def rule(verbs: Iterable[str], groups: Iterable[str], resources: Iterable[str]) -> Object:
    """A PolicyRule on resources."""
    return {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}


def urls(verbs: Iterable[str], paths: Iterable[str]) -> Object:
    """A PolicyRule on paths that are not resources."""
    return {"verbs": list(verbs), "nonResourceURLs": list(paths)}


def role(name: str, rules: list[Object], *, part_of: str = "") -> Object:
    """A default ClusterRole; ``part_of`` names the user-facing role that takes its rules in."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    if part_of:
        labels[f"{_AGGREGATE}{part_of}"] = "true"
    return {"apiVersion": _API_VERSION, "kind": "ClusterRole", "metadata": _metadata(name, labels), "rules": rules}


def binding(name: str, groups: list[str]) -> Object:
    """A default ClusterRoleBinding of the role of the same name to groups."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(name, {"kubernetes.io/bootstrapping": "rbac-defaults"}),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "Group", "apiGroup": _RBAC, "name": group} for group in groups],
    }


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {"name": name, "labels": labels, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}


def _aggregated(name: str, takes: str, *, part_of: str = "") -> Object:
    selectors = [{"matchLabels": {f"{_AGGREGATE}{takes}": "true"}}]
    return {**role(name, [], part_of=part_of), "aggregationRule": {"clusterRoleSelectors": selectors}}


def _view() -> list[Object]:
    """Everything but Secrets, roles and what runs inside pods."""
    with_status = {
        group: [*resources, *(f"{r}/status" for r in resources if r in _WITH_STATUS)]
        for group, resources in _WORKLOADS.items()
    }
    return [
        rule(READ, [""], sorted((*_CORE, *_CORE_READ))),
        rule(READ, ["discovery.k8s.io"], ["endpointslices"]),
        *(rule(READ, [group], sorted(resources)) for group, resources in with_status.items()),
    ]


def _edit() -> list[Object]:
    """What an author of workloads writes; running code as a ServiceAccount includes being it."""
    return [
        rule(READ, [""], [*_POD_ACCESS, "secrets", "services/proxy"]),
        rule(["impersonate"], [""], ["serviceaccounts"]),
        rule(WRITE, [""], sorted((*(r for r in _CORE if r != "endpoints"), *_POD_ACCESS, "secrets", "services/proxy"))),
        rule(["create"], [""], ["pods/eviction", "serviceaccounts/token"]),
        rule(["create", "patch", "update"], [""], ["events"]),
        *(rule(WRITE, [group], resources) for group, resources in _WORKLOADS.items()),
        rule((*READ, *WRITE), ["coordination.k8s.io"], ["leases"]),
    ]


def _admin() -> list[Object]:
    """Roles and bindings of the namespace, and questions about permissions in it."""
    return [
        rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
        rule((*READ, *WRITE), [_RBAC], ["rolebindings", "roles"]),
    ]


def _basic_user() -> list[Object]:
    return [
        rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
    ]


def _auth_delegator() -> list[Object]:
    return [
        rule(["create"], ["authentication.k8s.io"], ["tokenreviews"]),
        rule(["create"], ["authorization.k8s.io"], ["subjectaccessreviews"]),
    ]
