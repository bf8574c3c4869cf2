"""What counts against a ResourceQuota, and when it is exceeded. Pure: for the controller and for admission.

Source: Kubernetes documentation, "Resource Quotas". Amounts are thousandths, so that cpu, bytes and pieces add alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cluster.embedded.meta import is_deleted, seconds_since
from cluster.embedded.pod_resources import Amounts, added, total_of_containers
from cluster.embedded.quantity import from_milli, to_milli
from cluster.embedded.resources import (
    BY_PATH,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    Object,
    Resource,
)

_ONE = 1000
_COUNTED = frozenset(
    {"pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas"}
)
_SERVICE_NAMES = ("services.loadbalancers", "services.nodeports")
_PLAIN = ("cpu", "memory", "ephemeral-storage")
_CLASS = ".storageclass.storage.k8s.io/"


def requested_of(quota: Object, resource: Resource, obj: Object) -> Amounts:
    """What an object takes of a quota: only what the quota limits, and nothing outside of its scopes.

    Args:
        quota: a ResourceQuota.
        resource: of the object.
        obj: an object in the quota's namespace, with its defaults.
    """
    hard = quota["spec"].get("hard") or {}
    if not in_scope(quota, resource, obj):
        return {}
    return {name: amount for name, amount in usage_of(resource, obj).items() if name in hard}


def used_by(quota: Object, objects: Iterable[tuple[Resource, Object]]) -> Amounts:
    """What all these objects take of a quota, zeros included."""
    total: Amounts = {name: 0 for name in quota["spec"].get("hard") or {} if _is_known(name)}
    for resource, obj in objects:
        total = added(total, requested_of(quota, resource, obj))
    return total


def refusal(quota: Object, requested: Mapping[str, int], used: Mapping[str, int]) -> str:
    """Why a request exceeds a quota, as the API says it; empty when it fits.

    Args:
        quota: a ResourceQuota.
        requested: what is to be added; a change of an object counts with its growth.
        used: what is taken already.
    """
    hard = {name: to_milli(amount) for name, amount in (quota["spec"].get("hard") or {}).items()}
    over = sorted(
        name for name, amount in requested.items() if amount > 0 and amount + used.get(name, 0) > hard.get(name, 0)
    )
    if not over:
        return ""
    parts = (("requested", requested), ("used", used), ("limited", hard))
    shown = ", ".join(f"{word}: {_shown({name: amounts.get(name, 0) for name in over})}" for word, amounts in parts)
    return f"exceeded quota: {quota['metadata']['name']}, {shown}"


def missing(quota: Object, pod: Object) -> str:
    """Why a quota cannot count a pod: its containers lack requests or limits; empty when they do not."""
    lacking: dict[str, list[str]] = {}
    if not in_scope(quota, PODS, pod):
        return ""
    for name in sorted(quota["spec"].get("hard") or {}):
        kind, resource = _compute_name(name)
        if resource not in ("cpu", "memory"):
            continue
        for container in [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]:
            if resource not in ((container.get("resources") or {}).get(kind) or {}):
                lacking.setdefault(name, []).append(container["name"])
    if not lacking:
        return ""
    text = "; ".join(f"{name} for: {','.join(sorted(names))}" for name, names in lacking.items())
    return f"failed quota: {quota['metadata']['name']}: must specify {text}"


def in_scope(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether the quota counts the object. Scopes choose among pods; without them everything counts."""
    spec = quota["spec"]
    requirements = [
        *({"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or []),
        *((spec.get("scopeSelector") or {}).get("matchExpressions") or []),
    ]
    if not requirements:
        return True
    return resource is PODS and all(_matches(requirement, obj) for requirement in requirements)


def usage_of(resource: Resource, obj: Object) -> Amounts:
    """All that an object counts for, by the names a quota may use."""
    count: Amounts = {f"count/{resource.group_resource}": _ONE}
    if resource is PODS:
        return count if _holds_nothing(obj) else {**count, "pods": _ONE, **_compute(obj)}
    if not resource.group and resource.plural in _COUNTED:
        count[resource.plural] = _ONE
    if resource is SERVICES:
        return {**count, **_service(obj)}
    if resource is PERSISTENT_VOLUME_CLAIMS:
        return {**count, **_claim(obj)}
    return count


def spelled(amounts: Mapping[str, int]) -> dict[str, str]:
    """Amounts as quantities, as a status shows them."""
    return {name: from_milli(amount, binary=_in_bytes(name)) for name, amount in sorted(amounts.items())}


def _shown(amounts: Mapping[str, int]) -> str:
    return ",".join(f"{name}={text}" for name, text in spelled(amounts).items())


def _in_bytes(name: str) -> bool:
    return any(word in name for word in ("memory", "storage", "hugepages"))


def _is_known(name: str) -> bool:
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return any(path[0] == group and path[2] == plural for path in BY_PATH)
    if name in _COUNTED or name in _SERVICE_NAMES or name in _PLAIN or name == "requests.storage":
        return True
    return name.startswith(("requests.", "limits.", "hugepages-")) or _CLASS in name


def _compute_name(name: str) -> tuple[str, str]:
    """``requests`` or ``limits`` and the resource that a name of a quota is about; empty if it is about neither."""
    kind, dot, resource = name.partition(".")
    if dot and kind in ("requests", "limits"):
        return kind, resource
    return ("requests", name) if name in _PLAIN else ("", "")


def _compute(pod: Object) -> Amounts:
    """Requests and limits of a pod, under all their names."""
    totals: Amounts = {}
    overhead = {name: to_milli(text) for name, text in (pod["spec"].get("overhead") or {}).items()}
    for kind in ("requests", "limits"):

        def of(container: Object, kind: str = kind) -> Amounts:
            given = (container.get("resources") or {}).get(kind) or {}
            return {name: to_milli(text) for name, text in given.items()}

        total = total_of_containers(pod, of)
        total = added(total, {name: amount for name, amount in overhead.items() if kind == "requests" or name in total})
        totals |= {f"{kind}.{name}": amount for name, amount in total.items()}
        if kind == "requests":
            totals |= {
                name: amount for name, amount in total.items() if name in _PLAIN or name.startswith("hugepages-")
            }
    return totals


def _holds_nothing(pod: Object) -> bool:
    """Whether a pod has ended, or should have been gone by now."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    return is_deleted(pod) and seconds_since(pod["metadata"]["deletionTimestamp"]) > 0


def _service(service: Object) -> Amounts:
    spec = service["spec"]
    balanced = spec.get("type") == "LoadBalancer"
    on_nodes = spec.get("type") == "NodePort" or (balanced and spec.get("allocateLoadBalancerNodePorts", True))
    ports = len(spec.get("ports") or []) if on_nodes else 0
    return {"services.loadbalancers": _ONE * balanced, "services.nodeports": _ONE * ports}


def _claim(claim: Object) -> Amounts:
    spec = claim["spec"]
    size = to_milli(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    usage: Amounts = {"requests.storage": size}
    if name := spec.get("storageClassName"):
        usage |= {f"{name}{_CLASS}requests.storage": size, f"{name}{_CLASS}persistentvolumeclaims": _ONE}
    return usage


def _matches(requirement: Object, pod: Object) -> bool:
    scope, operator = requirement["scopeName"], requirement["operator"]
    spec = pod["spec"]
    if scope == "PriorityClass" and operator in ("In", "NotIn"):
        listed = spec.get("priorityClassName") in (requirement.get("values") or [])
        return listed is (operator == "In")
    exists = {
        "Terminating": spec.get("activeDeadlineSeconds") is not None,
        "NotTerminating": spec.get("activeDeadlineSeconds") is None,
        "BestEffort": _best_effort(pod),
        "NotBestEffort": not _best_effort(pod),
        "PriorityClass": bool(spec.get("priorityClassName")),
    }.get(scope, False)
    return exists is (operator != "DoesNotExist")


def _best_effort(pod: Object) -> bool:
    containers = [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
    resources = [container.get("resources") or {} for container in containers]
    return not any(
        name in ((part.get(kind)) or {}) for part in resources for kind in ("requests", "limits") for name in _PLAIN[:2]
    )
