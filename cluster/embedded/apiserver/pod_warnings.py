"""What a client is warned of that sends a pod, or a workload with a pod template: accepted, but hardly meant.

(Kubernetes source: ``api/pod/warnings.go``.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.embedded.apiserver.gotext import go_quote
from cluster.embedded.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    Resource,
)

_TEMPLATES = {r.group_resource for r in (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS)}
_DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
}


def pod_warnings(resource: Resource, obj: Object, old: Object | None = None) -> list[str]:
    """The texts of Warning headers for a new object, or for an update of a workload that changes its spec."""
    path, spec = _pod_spec(resource, obj)
    if spec is None or (old is not None and (resource is PODS or _generation(old) == _generation(obj))):
        return []
    return list(_of_spec(spec, path))


def _generation(obj: Object) -> object:
    return obj["metadata"].get("generation")


def _pod_spec(resource: Resource, obj: Object) -> tuple[str, dict[str, Any] | None]:
    if resource is PODS:
        return "spec", obj.get("spec")
    if resource is CRON_JOBS:
        template = ((obj["spec"].get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
        return "spec.jobTemplate.spec.template.spec", template.get("spec")
    if resource.group_resource in _TEMPLATES:
        return "spec.template.spec", (obj["spec"].get("template") or {}).get("spec")
    return "", None


def _of_spec(spec: dict[str, Any], path: str) -> Iterator[str]:
    for label in spec.get("nodeSelector") or {}:
        if label in _DEPRECATED_LABELS:
            better = go_quote(_DEPRECATED_LABELS[label])
            yield f"{path}.nodeSelector[{label}]: deprecated since v1.14; use {better} instead"
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield from _hidden_variables(container, f"{path}.{group}[{index}]")


def _hidden_variables(container: dict[str, Any], path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen:
            hidden = f"hides previous definition of {go_quote(name)}"
            yield f"{path}.env[{index}]: {hidden}, which may be dropped when using apply"
        seen.add(name)
