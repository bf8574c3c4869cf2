"""Subresources that are more than a part of their object: scale, binding, eviction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.lifecycle import now, prepare_update
from cluster.embedded.apiserver.managed_fields import Manager, set_entries, track_update, tracked_part
from cluster.embedded.apiserver.patching import patched
from cluster.embedded.apiserver.schema import type_of
from cluster.embedded.apiserver.selectors import selector_matches
from cluster.embedded.resources import POD_DISRUPTION_BUDGETS, PODS, Object, Resource

if TYPE_CHECKING:
    from cluster.embedded.apiserver.registry import Registry

SCALE = Resource("autoscaling", "v1", "scales", "Scale")
_BINDING = Resource("", "v1", "pods/binding", "Binding")
_TOO_EARLY_SECONDS = 10


def scale_of(resource: Resource, obj: Object) -> Object:
    """The Scale of a workload."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    wanted = {"replicas": spec["replicas"]} if spec.get("replicas") else {}
    selector = _selector_text(spec.get("selector") or {})
    return {
        "apiVersion": SCALE.api_version,
        "kind": SCALE.kind,
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": wanted,
        "status": {
            "replicas": obj.get("status", {}).get("replicas", 0),
            **({"selector": selector} if selector else {}),
        },
    }


def _selector_text(selector: dict[str, Any]) -> str:
    terms = [f"{key}={value}" for key, value in sorted(selector.get("matchLabels", {}).items())]
    for term in selector.get("matchExpressions", ()):
        values = ",".join(sorted(term.get("values", ())))
        texts = {
            "In": f"{term['key']} in ({values})",
            "NotIn": f"{term['key']} notin ({values})",
            "Exists": term["key"],
            "DoesNotExist": f"!{term['key']}",
        }
        terms.append(texts[term["operator"]])
    return ",".join(terms)


def patch_scale(
    registry: Registry, resource: Resource, obj: Object, patch: Any, patch_type: str, manager: str, dry_run: bool
) -> Object:
    """Patch the Scale of a workload; returns the Scale."""
    changed = patched(SCALE, scale_of(resource, obj), patch, patch_type)
    return update_scale(registry, resource, changed, manager, dry_run)


def update_scale(registry: Registry, resource: Resource, scale: Object, manager: str, dry_run: bool) -> Object:
    """Set the replicas of a workload from a Scale; returns the new Scale."""
    metadata = scale["metadata"]
    obj = registry.get(resource, metadata.get("namespace") or "", metadata["name"])
    sent = metadata.get("resourceVersion")
    if sent and sent != obj["metadata"]["resourceVersion"]:
        raise status.conflict(resource, metadata["name"])
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        problem = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = {"reason": "FieldValueInvalid", "message": problem, "field": "spec.replicas"}
        raise status.invalid(SCALE, metadata["name"], [cause])
    new = {**obj, "metadata": dict(obj["metadata"]), "spec": {**(obj.get("spec") or {}), "replicas": replicas}}
    writer = Manager(manager or "unknown", "Update", resource.api_version, "scale")
    before, after = tracked_part(resource, obj, ""), tracked_part(resource, new, "")
    entries = obj["metadata"].get("managedFields", [])
    set_entries(new, track_update(type_of(resource), before, after, entries, writer, "") if entries else [])
    prepare_update(resource, obj, new, "scale")
    return scale_of(resource, registry.write(resource, obj, new, dry_run=dry_run))


def bind(registry: Registry, namespace: str, binding: Object, *, dry_run: bool) -> Object:
    """Put a pod on the node that a Binding names; returns a Status of success."""
    name, node = binding["metadata"]["name"], (binding.get("target") or {}).get("name", "")
    pod = registry.get(PODS, namespace, name)
    if "deletionTimestamp" in pod["metadata"]:
        raise status.conflict(_BINDING, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if taken := pod["spec"].get("nodeName"):
        raise status.conflict(_BINDING, name, f'pod {name} is already assigned to node "{taken}"')
    metadata = dict(pod["metadata"])
    for key in ("annotations", "labels"):
        if extra := binding["metadata"].get(key):
            metadata[key] = {**metadata.get(key, {}), **extra}
    new = {
        **pod,
        "metadata": metadata,
        "spec": {**pod["spec"], "nodeName": node},
        "status": with_condition(pod.get("status", {}), {"type": "PodScheduled", "status": "True"}),
    }
    registry.write(PODS, pod, new, dry_run=dry_run)
    return status.created()


def with_condition(pod_status: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any]:
    """A pod's status with a condition set; the transition time moves only when its status changes."""
    conditions = list(pod_status.get("conditions", ()))
    index = next((i for i, c in enumerate(conditions) if c["type"] == condition["type"]), len(conditions))
    old = conditions[index] if index < len(conditions) else {}
    since = old.get("lastTransitionTime") if old.get("status") == condition["status"] else None
    conditions[index : index + 1] = [{"lastProbeTime": None, "lastTransitionTime": since or now(), **condition}]
    return {**pod_status, "conditions": conditions}


def evict(registry: Registry, namespace: str, eviction: Object, *, dry_run: bool) -> Object:
    """Delete a pod unless its disruption budget forbids; returns a Status of success. Raises ApiError 429."""
    name, options = eviction["metadata"]["name"], eviction.get("deleteOptions") or {}
    pod = registry.get(PODS, namespace, name)
    budgets = _budgets_of(registry, pod)
    if not _needs_no_budget(pod) and budgets:
        if len(budgets) > 1:
            problem = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise status.internal_error(problem)
        _use_budget(registry, budgets[0], pod, dry_run=dry_run)
    if not dry_run:
        _mark_disrupted(registry, pod)
    preconditions = options.get("preconditions") or {}
    registry.delete(
        PODS,
        namespace,
        name,
        grace_period_seconds=options.get("gracePeriodSeconds"),
        uid=preconditions.get("uid", ""),
        dry_run=dry_run,
    )
    return status.created()


def _budgets_of(registry: Registry, pod: Object) -> list[Object]:
    labels = pod["metadata"].get("labels", {})
    budgets = registry.store.list(POD_DISRUPTION_BUDGETS, pod["metadata"].get("namespace", ""))
    return [budget for budget in budgets if selector_matches(budget["spec"].get("selector"), labels)]


def _needs_no_budget(pod: Object) -> bool:
    phase = pod.get("status", {}).get("phase")
    return phase in ("Pending", "Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]


def _use_budget(registry: Registry, budget: Object, pod: Object, *, dry_run: bool) -> None:
    counts = budget.get("status", {})
    if not _is_ready(pod) and 0 < counts.get("desiredHealthy", 0) <= counts.get("currentHealthy", 0):
        return
    if counts.get("disruptionsAllowed", 0) <= 0:
        raise _too_many_disruptions(budget, counts)
    disrupted = {**counts.get("disruptedPods", {}), pod["metadata"]["name"]: now()}
    allowed = counts["disruptionsAllowed"] - 1
    new = {**budget, "status": {**counts, "disruptionsAllowed": allowed, "disruptedPods": disrupted}}
    registry.write(POD_DISRUPTION_BUDGETS, budget, new, dry_run=dry_run)


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _too_many_disruptions(budget: Object, counts: dict[str, Any]) -> Exception:
    message = (
        f"The disruption budget {budget['metadata']['name']} needs {counts.get('desiredHealthy', 0)} healthy pods "
        f"and has {counts.get('currentHealthy', 0)} currently"
    )
    if counts.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        message = f"The disruption budget {budget['metadata']['name']} is still being processed by the server."
    text = "Cannot evict pod as it would violate the pod's disruption budget."
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    if counts.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        details["retryAfterSeconds"] = _TOO_EARLY_SECONDS
    return status.failure(429, "TooManyRequests", text, details)


def _mark_disrupted(registry: Registry, pod: Object) -> None:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    new = {**pod, "status": with_condition(pod.get("status", {}), condition)}
    registry.write(PODS, pod, new)
