"""Validation of whole objects: metadata for every kind, and the rules of each kind (Kubernetes v1.36)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cluster.embedded.apiserver import names, status
from cluster.embedded.apiserver.pod_validation import validate_pod, validate_pod_spec, validate_pod_update
from cluster.embedded.apiserver.problems import Problems
from cluster.embedded.apiserver.selectors import selector_matches
from cluster.embedded.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    Object,
    Resource,
)

_LARGEST_DATA = 1 << 20
_PERCENT = re.compile(r"[0-9]+%")
_BAD_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used "
    "for validation is '[0-9]+%')"
)
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_LABEL_NAMES = (SERVICES, NAMESPACES)
_PATH_NAMES = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")


def validate(resource: Resource, obj: Object) -> None:
    """Check a new object. Raises ApiError 422 with a cause per problem."""
    problems = Problems()
    _metadata(resource, obj["metadata"], problems)
    if check := _BY_RESOURCE.get(resource.group_resource):
        check(obj, problems)
    _refuse(resource, obj, problems)


def validate_update(resource: Resource, old: Object, new: Object, subresource: str = "") -> None:
    """Check an object that replaces another. Raises ApiError 422 with a cause per problem."""
    problems = Problems()
    if new["metadata"] is not old["metadata"]:
        _metadata_update(resource, old["metadata"], new["metadata"], problems)
    if not subresource:
        if _changed(old, new) and (check := _BY_RESOURCE.get(resource.group_resource)):
            check(new, problems)
        if compare := _UPDATES.get(resource.group_resource):
            compare(old, new, problems)
    _refuse(resource, new, problems)


def _changed(old: Object, new: Object) -> bool:
    return any(new.get(key) is not old.get(key) for key in {**old, **new} if key not in ("metadata", "status"))


def _refuse(resource: Resource, obj: Object, problems: Problems) -> None:
    if problems.causes:
        raise status.invalid(resource, obj["metadata"].get("name", ""), problems.causes)


def _metadata(resource: Resource, metadata: dict[str, Any], problems: Problems) -> None:
    check = _name_check(resource)
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix and (problem := check(prefix.rstrip("-"))):
        problems.invalid("metadata.generateName", prefix, problem)
    if not name:
        problems.required("metadata.name", "name or generateName is required")
    elif problem := check(name):
        problems.invalid("metadata.name", name, problem)
    _labels(metadata.get("labels", {}), "metadata.labels", problems)
    for key in metadata.get("annotations", {}):
        for problem in names.qualified_name_problems(key.lower()):
            problems.invalid("metadata.annotations", key, problem)
    _owners(metadata.get("ownerReferences", ()), problems)
    _finalizers(metadata.get("finalizers", ()), problems)


def _name_check(resource: Resource) -> Callable[[str], str]:
    if resource in _LABEL_NAMES:
        return names.label_problem
    return names.path_segment_problem if resource.plural in _PATH_NAMES else names.subdomain_problem


def _labels(labels: dict[str, str], path: str, problems: Problems) -> None:
    for key, value in labels.items():
        for problem in names.qualified_name_problems(key):
            problems.invalid(path, key, problem)
        if problem := names.label_value_problem(value):
            problems.invalid(path, value, problem)


def _owners(references: Any, problems: Problems) -> None:
    for reference in references:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(key):
                detail = "version must not be empty" if key == "apiVersion" else "must not be empty"
                problems.invalid(f"metadata.ownerReferences.{key}", reference.get(key, ""), detail)


def _finalizers(finalizers: Any, problems: Problems) -> None:
    for index, name in enumerate(finalizers):
        for problem in names.qualified_name_problems(name):
            problems.invalid("metadata.finalizers", name, problem)
        if "/" not in name and name not in ("orphan", "foregroundDeletion", "kubernetes"):
            problem = "name is neither a standard finalizer name nor is it fully qualified"
            problems.invalid(f"metadata.finalizers[{index}]", name, problem)


def _metadata_update(resource: Resource, old: dict[str, Any], new: dict[str, Any], problems: Problems) -> None:
    if old.get("labels") is not new.get("labels"):
        _labels(new.get("labels", {}), "metadata.labels", problems)
    if old.get("finalizers") != new.get("finalizers"):
        _finalizers(new.get("finalizers", ()), problems)
        added = [name for name in new.get("finalizers", ()) if name not in old.get("finalizers", ())]
        if added and "deletionTimestamp" in old:
            shown = "[]string{" + ", ".join(f'"{name}"' for name in added) + "}"
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            problems.forbidden("metadata.finalizers", detail)
            problems.forbidden("metadata.finalizers", detail)
    if old.get("ownerReferences") is not new.get("ownerReferences"):
        _owners(new.get("ownerReferences", ()), problems)


def _workload(obj: Object, problems: Problems) -> dict[str, Any]:
    """What Deployments and ReplicaSets share, except the template."""
    spec: dict[str, Any] = obj["spec"]
    problems.not_negative("spec.replicas", spec.get("replicas"))
    problems.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    selector = spec.get("selector")
    if selector is None:
        problems.required("spec.selector")
    elif not selector:
        problems.invalid("spec.selector", selector, f"empty selector is invalid for {obj['kind'].lower()}")
    return spec


def _template(spec: dict[str, Any], problems: Problems) -> None:
    template = spec["template"]
    labels = template["metadata"].get("labels")
    if not selector_matches(spec.get("selector"), labels or {}):
        problem = "`selector` does not match template `labels`"
        problems.invalid("spec.template.metadata.labels", labels, problem)
    _labels(labels or {}, "spec.template.labels", problems)
    validate_pod_spec(template["spec"], "spec.template.spec", problems)
    policy = template["spec"].get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        problems.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _deployment(deployment: Object, problems: Problems) -> None:
    spec = _workload(deployment, problems)
    _template(spec, problems)
    _strategy(spec["strategy"], problems)
    problems.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        problems.not_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= spec.get("minReadySeconds", 0):
            problems.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy(strategy: dict[str, Any], problems: Problems) -> None:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if kind == "Recreate" and rolling is not None:
        problems.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate" and rolling is None:
        problems.required(path, "this should be defaulted and never be nil")
    elif kind == "RollingUpdate":
        _rolling_update(rolling or {}, path, problems)
    elif kind not in ("Recreate", "RollingUpdate"):
        problems.unsupported("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))


def _rolling_update(rolling: dict[str, Any], path: str, problems: Problems) -> None:
    for key in ("maxUnavailable", "maxSurge"):
        _count_or_percent(rolling.get(key, 0), f"{path}.{key}", problems)
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    if unavailable in (0, "0%") and surge in (0, "0%"):
        problems.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if isinstance(unavailable, str) and _PERCENT.fullmatch(unavailable) and int(unavailable[:-1]) > 100:
        problems.invalid(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%")


def _count_or_percent(value: Any, path: str, problems: Problems) -> None:
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            problems.invalid(path, value, _BAD_PERCENT)
    else:
        problems.not_negative(path, value)


def _replica_set(replica_set: Object, problems: Problems) -> None:
    _template(_workload(replica_set, problems), problems)


def _immutable_selector(old: Object, new: Object, problems: Problems) -> None:
    before, after = old["spec"].get("selector"), new["spec"].get("selector")
    if before != after:
        problems.invalid("spec.selector", after, "field is immutable")


def _service(service: Object, problems: Problems) -> None:
    spec = service["spec"]
    kind = spec.get("type", "")
    ports = spec.get("ports", ())
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        problems.required("spec.ports")
    for index, port in enumerate(ports):
        _service_port(port, f"spec.ports[{index}]", len(ports) > 1, problems)
    _labels(spec.get("selector", {}), "spec.selector", problems)
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        problems.unsupported("spec.sessionAffinity", spec.get("sessionAffinity", ""), ("ClientIP", "None"))
    if kind not in _SERVICE_TYPES:
        problems.unsupported("spec.type", kind, _SERVICE_TYPES)
    if kind == "ExternalName" and not spec.get("externalName"):
        problems.required("spec.externalName")


def _service_port(port: dict[str, Any], path: str, named: bool, problems: Problems) -> None:
    name = port.get("name", "")
    if named and not name:
        problems.required(f"{path}.name")
    elif name and (problem := names.label_problem(name)):
        problems.invalid(f"{path}.name", name, problem)
    for key in ("port", "targetPort"):
        value = port.get(key, 0)
        if isinstance(value, int) and not 1 <= value <= 65535:
            problems.invalid(f"{path}.{key}", value, "must be between 1 and 65535, inclusive")
    if port.get("protocol") not in ("SCTP", "TCP", "UDP"):
        problems.unsupported(f"{path}.protocol", port.get("protocol", ""), ("SCTP", "TCP", "UDP"))


def _service_update(old: Object, new: Object, problems: Problems) -> None:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and before != after and new["spec"].get("type") != "ExternalName":
        problems.invalid("spec.clusterIPs[0]", [after or ""], "may not change once set")


def _config_data(obj: Object, problems: Problems) -> None:
    size = 0
    for part in ("data", "binaryData"):
        for key, value in obj.get(part, {}).items():
            size += len(value.encode())
            if problem := names.config_key_problem(key):
                problems.invalid(f"{part}[{key}]", key, problem)
    if size > _LARGEST_DATA:
        problems.too_long("[]" if obj["kind"] == "ConfigMap" else "data", _LARGEST_DATA)


def _config_update(old: Object, new: Object, problems: Problems) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        problems.forbidden("immutable", "field is immutable when `immutable` is set")
    for part in ("data", "binaryData"):
        if old.get(part) != new.get(part):
            problems.forbidden(part, "field is immutable when `immutable` is set")


def _secret_update(old: Object, new: Object, problems: Problems) -> None:
    if old.get("type") != new.get("type"):
        problems.invalid("type", new.get("type", ""), "field is immutable")
    _config_update(old, new, problems)


def _node(node: Object, problems: Problems) -> None:
    for index, taint in enumerate(node["spec"].get("taints", ())):
        path = f"metadata.taints[{index}]"
        if not taint.get("key"):
            problems.required(f"{path}.key", "name part must be non-empty")
        if not taint.get("effect"):
            problems.required(f"{path}.effect")
        elif taint["effect"] not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            problems.unsupported(f"{path}.effect", taint["effect"], ("NoSchedule", "PreferNoSchedule", "NoExecute"))


def _node_update(old: Object, new: Object, problems: Problems) -> None:
    """A server checks the taints of an updated node a second time, and lists each problem twice."""
    if old["spec"] != new["spec"]:
        _node(new, problems)


def _disruption_budget(budget: Object, problems: Problems) -> None:
    spec = budget["spec"]
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        problems.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for key in ("minAvailable", "maxUnavailable"):
        if key in spec:
            _count_or_percent(spec[key], f"spec.{key}", problems)


def _autoscaler(autoscaler: Object, problems: Problems) -> None:
    spec, target = autoscaler["spec"], autoscaler["spec"].get("scaleTargetRef") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        problems.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        problems.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        problems.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    for key in ("kind", "name"):
        if not target.get(key):
            problems.required(f"spec.scaleTargetRef.{key}")
    if "/" not in target.get("apiVersion", ""):
        problems.invalid(
            "spec.scaleTargetRef.apiVersion", target.get("apiVersion", ""), "apiVersion must specify API group"
        )


def _event(event: Object, problems: Problems) -> None:
    about, namespace = event["involvedObject"].get("namespace", ""), event["metadata"].get("namespace", "")
    if about and about != namespace:
        problems.invalid("involvedObject.namespace", about, "does not match event.namespace")


_BY_RESOURCE: dict[str, Callable[[Object, Problems], None]] = {
    PODS.group_resource: validate_pod,
    DEPLOYMENTS.group_resource: _deployment,
    REPLICA_SETS.group_resource: _replica_set,
    SERVICES.group_resource: _service,
    CONFIG_MAPS.group_resource: _config_data,
    SECRETS.group_resource: _config_data,
    NODES.group_resource: _node,
    POD_DISRUPTION_BUDGETS.group_resource: _disruption_budget,
    EVENTS.group_resource: _event,
    HORIZONTAL_POD_AUTOSCALERS.group_resource: _autoscaler,
}
_UPDATES: dict[str, Callable[[Object, Object, Problems], None]] = {
    NODES.group_resource: _node_update,
    PODS.group_resource: validate_pod_update,
    DEPLOYMENTS.group_resource: _immutable_selector,
    REPLICA_SETS.group_resource: _immutable_selector,
    SERVICES.group_resource: _service_update,
    CONFIG_MAPS.group_resource: _config_update,
    SECRETS.group_resource: _secret_update,
}
