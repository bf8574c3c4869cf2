"""Validation of pods and pod specs (Kubernetes v1.36)."""

from __future__ import annotations

import difflib
import json
from typing import Any

from cluster.embedded.apiserver import names
from cluster.embedded.apiserver.problems import Problems
from cluster.embedded.apiserver.quantities import parse
from cluster.embedded.resources import Object

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PORT_RANGE = "must be between 1 and 65535, inclusive"
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


def validate_pod(pod: Object, problems: Problems) -> None:
    """The rules of a Pod beyond its metadata."""
    validate_pod_spec(pod["spec"], "spec", problems)


def validate_pod_spec(spec: dict[str, Any], path: str, problems: Problems) -> None:
    """The rules of a pod spec, in a Pod or in a template."""
    volumes = spec.get("volumes", ())
    known = _volumes(volumes, f"{path}.volumes", problems)
    containers = spec.get("containers") or ()
    if not containers:
        problems.required(f"{path}.containers")
    seen: set[str] = set()
    for group, items in (("containers", containers), ("initContainers", spec.get("initContainers", ()))):
        for index, container in enumerate(items):
            _container(container, f"{path}.{group}[{index}]", seen, known, problems)
    _choice(spec.get("restartPolicy", ""), _RESTART_POLICIES, f"{path}.restartPolicy", problems)
    _choice(spec.get("dnsPolicy", ""), _DNS_POLICIES, f"{path}.dnsPolicy", problems)
    for index, toleration in enumerate(spec.get("tolerations", ())):
        _toleration(toleration, f"{path}.tolerations[{index}]", problems)


def validate_pod_update(old: Object, new: Object, problems: Problems) -> None:
    """Most of a pod's spec is immutable."""
    before, after = old["spec"], new["spec"]
    if before is after or before == after:
        return
    allowed = _with_updatable(before, after)
    if allowed != after:
        difference = list(difflib.unified_diff(_lines(allowed), _lines(after), lineterm="", n=3))[2:]
        problems.forbidden("spec", _UPDATABLE + "".join(f"{line}\n" for line in difference))


def _with_updatable(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The old spec with the fields of the new one that may change."""
    result = dict(before)
    for group in ("containers", "initContainers"):
        old, new = before.get(group) or [], after.get(group) or []
        if len(old) == len(new) and old:
            result[group] = [
                {**a, **({"image": b["image"]} if "image" in b else {})} for a, b in zip(old, new, strict=True)
            ]
    if "activeDeadlineSeconds" in after:
        result["activeDeadlineSeconds"] = after["activeDeadlineSeconds"]
    gates = [gate for gate in before.get("schedulingGates", []) if gate in after.get("schedulingGates", [])]
    result.pop("schedulingGates", None)
    if gates:
        result["schedulingGates"] = gates
    tolerations = after.get("tolerations", [])
    if all(toleration in tolerations for toleration in before.get("tolerations", [])) and tolerations:
        result["tolerations"] = tolerations
    return result


def _lines(spec: dict[str, Any]) -> list[str]:
    return json.dumps(spec, indent=1, sort_keys=True).splitlines()


def _choice(value: str, supported: tuple[str, ...], path: str, problems: Problems) -> None:
    if value not in supported:
        problems.unsupported(path, value, supported)


def _volumes(volumes: Any, path: str, problems: Problems) -> set[str]:
    """The names of the volumes that can be mounted."""
    known: set[str] = set()
    for index, volume in enumerate(volumes):
        name, place = volume.get("name", ""), f"{path}[{index}]"
        if not name:
            problems.required(f"{place}.name")
        elif problem := names.label_problem(name):
            problems.invalid(f"{place}.name", name, problem)
        elif name in known:
            problems.duplicate(f"{place}.name", name)
        sources = sorted((key for key in volume if key != "name"), key=_source_order)
        for extra in sources[1:]:
            problems.forbidden(f"{place}.{extra}", "may not specify more than 1 volume type")
        if len(sources) == 1:
            known.add(name)
    return known


def _source_order(source: str) -> int:
    order = ("emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs")
    return order.index(source) if source in order else len(order)


def _container(container: dict[str, Any], path: str, seen: set[str], volumes: set[str], problems: Problems) -> None:
    name = container.get("name", "")
    if not name:
        problems.required(f"{path}.name")
    elif problem := names.label_problem(name):
        problems.invalid(f"{path}.name", name, problem)
    if not container.get("image"):
        problems.required(f"{path}.image")
    _ports(container.get("ports", ()), f"{path}.ports", problems)
    for index, variable in enumerate(container.get("env", ())):
        _variable(variable, f"{path}.env[{index}]", problems)
    _mounts(container.get("volumeMounts", ()), f"{path}.volumeMounts", volumes, problems)
    _choice(container.get("imagePullPolicy", ""), _PULL_POLICIES, f"{path}.imagePullPolicy", problems)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            _probe(container[kind], f"{path}.{kind}", kind, problems)
    for hook, handler in container.get("lifecycle", {}).items():
        if isinstance(handler, dict):
            _handler(handler, f"{path}.lifecycle.{hook}", problems)
    _resources(container.get("resources", {}), f"{path}.resources", problems)
    if name in seen:
        problems.duplicate(f"{path}.name", name)
    seen.add(name)


def _ports(ports: Any, path: str, problems: Problems) -> None:
    used: set[str] = set()
    for index, port in enumerate(ports):
        place, name = f"{path}[{index}]", port.get("name", "")
        if name:
            if len(name) > 15:
                problems.invalid(f"{place}.name", name, "must be no more than 15 characters")
            if name in used:
                problems.duplicate(f"{place}.name", name)
            used.add(name)
        number = port.get("containerPort", 0)
        if not number:
            problems.required(f"{place}.containerPort")
        elif not 1 <= number <= 65535:
            problems.invalid(f"{place}.containerPort", number, _PORT_RANGE)
        if port.get("protocol") not in ("SCTP", "TCP", "UDP"):
            problems.unsupported(f"{place}.protocol", port.get("protocol", ""), ("SCTP", "TCP", "UDP"))


def _variable(variable: dict[str, Any], path: str, problems: Problems) -> None:
    name = variable.get("name", "")
    if not name:
        problems.required(f"{path}.name")
    elif problem := names.env_name_problem(name):
        problems.invalid(f"{path}.name", name, problem)
    if "valueFrom" in variable and variable.get("value"):
        problems.invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")


def _mounts(mounts: Any, path: str, volumes: set[str], problems: Problems) -> None:
    used: set[str] = set()
    for index, mount in enumerate(mounts):
        place, name, target = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            problems.required(f"{place}.name")
        elif name not in volumes:
            problems.not_found(f"{place}.name", name)
        if not target:
            problems.required(f"{place}.mountPath")
        elif target in used:
            problems.invalid(f"{place}.mountPath", target, "must be unique")
        used.add(target)


def _probe(probe: dict[str, Any], path: str, kind: str, problems: Problems) -> None:
    _handler(probe, path, problems)
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        problems.not_negative(f"{path}.{key}", probe.get(key))
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        problems.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(handler: dict[str, Any], path: str, problems: Problems) -> None:
    given = [name for name in _HANDLERS if name in handler]
    if not given:
        problems.required(path, "must specify a handler type")
    for extra in given[1:]:
        problems.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if given == ["exec"] and not handler["exec"].get("command"):
        problems.required(f"{path}.exec.command")
    for kind in given[:1]:
        port = handler[kind].get("port", 0) if kind in ("httpGet", "tcpSocket", "grpc") else 1
        if isinstance(port, int) and not 1 <= port <= 65535:
            problems.invalid(f"{path}.{kind}.port", port, _PORT_RANGE)


def _toleration(toleration: dict[str, Any], path: str, problems: Problems) -> None:
    operator = toleration.get("operator", "Equal")
    if operator == "Exists" and toleration.get("value"):
        problems.invalid(f"{path}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
    elif operator not in ("Equal", "Exists"):
        problems.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if not toleration.get("key") and operator != "Exists":
        problems.invalid(
            f"{path}.operator",
            operator,
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        )
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        problems.invalid(
            f"{path}.effect",
            toleration.get("effect", ""),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        )


def _resources(resources: dict[str, Any], path: str, problems: Problems) -> None:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for group, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            _amount(name, amount, f"{path}.{group}[{name}]", problems)
    for name, request in requests.items():
        _request_within_limit(name, request, limits.get(name), path, problems)


def _request_within_limit(name: str, request: str, limit: str | None, path: str, problems: Problems) -> None:
    if limit is None:
        if _is_extended(name):
            problems.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif _is_extended(name) and parse(request) != parse(limit):
        problems.invalid(f"{path}.requests", request, f"must be equal to {name} limit of {limit}")
    elif parse(request) > parse(limit):
        problems.invalid(f"{path}.requests", request, f"must be less than or equal to {name} limit of {limit}")


def _is_extended(name: str) -> bool:
    return "/" in name or name.startswith("hugepages-")


def _amount(name: str, amount: str, path: str, problems: Problems) -> None:
    if "/" not in name and name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
        problems.invalid(path, name, "must be a standard resource type or fully qualified")
        problems.invalid(path, name, "must be a standard resource for containers")
    value = parse(amount)
    if value < 0:
        problems.invalid(path, amount, "must be greater than or equal to 0")
    elif _is_extended(name) and value != value.to_integral_value():
        problems.invalid(path, amount, "must be an integer")
