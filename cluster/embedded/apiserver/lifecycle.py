"""What the server alone decides about an object: identity, generation, and whether spec or status may change.

(Kubernetes source: the "strategy" of each resource.)
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.defaulting import containers_of
from cluster.embedded.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    INGRESSES,
    JOBS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
)

_WITH_GENERATION = {
    r.group_resource
    for r in (
        PODS, DEPLOYMENTS, REPLICA_SETS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES, ENDPOINT_SLICES,
        PRIORITY_CLASSES, JOBS, CRON_JOBS, STATEFUL_SETS, DAEMON_SETS, REPLICATION_CONTROLLERS, INGRESSES,
    )
}  # fmt: skip
_CREATED_BY_UPDATE = {r.group_resource for r in (LEASES, EVENTS, ENDPOINTS, SERVICES, PRIORITY_CLASSES)}
_FRESH_STATUS: dict[str, dict[str, Any]] = {
    DEPLOYMENTS.group_resource: {},
    REPLICA_SETS.group_resource: {"replicas": 0},
    SERVICES.group_resource: {"loadBalancer": {}},
    NAMESPACES.group_resource: {"phase": "Active"},
    POD_DISRUPTION_BUDGETS.group_resource: {
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
    },
}  # fmt: skip
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def now() -> str:
    """The wall-clock time as the API writes it: RFC 3339, whole seconds, UTC."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """A time as the API writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def shifted(time: str, seconds: float) -> str:
    """A time of the API, moved by some seconds."""
    return timestamp(datetime.fromisoformat(time.replace("Z", "+00:00")) + timedelta(seconds=seconds))


def may_create_by_update(resource: Resource) -> bool:
    """Whether a PUT of a missing object creates it."""
    return resource.group_resource in _CREATED_BY_UPDATE or resource.group == "rbac.authorization.k8s.io"


def prepare_new(resource: Resource, obj: Object) -> None:
    """Give a new object its identity and its first status, in place."""
    metadata = obj["metadata"]
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"):
        metadata.pop(key, None)
    if resource.group_resource in _WITH_GENERATION:
        metadata["generation"] = 1
    if resource is JOBS:
        _job_identity(obj)
    elif resource is PERSISTENT_VOLUME_CLAIMS:
        metadata.setdefault("finalizers", ["kubernetes.io/pvc-protection"])
    elif resource is DAEMON_SETS:
        metadata["annotations"] = {**metadata.get("annotations", {}), _TEMPLATE_GENERATION: "1"}
    if resource is PODS:
        _positive_grace(obj["spec"])
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
    elif (fresh := _FRESH_STATUS.get(resource.group_resource)) is not None:
        obj["status"] = dict(fresh)
    if resource is NAMESPACES:
        obj["spec"] = {"finalizers": ["kubernetes"]}


def _job_identity(job: Object) -> None:
    """A Job selects its pods by its own uid, unless ``manualSelector`` says otherwise."""
    metadata, spec = job["metadata"], job["spec"]
    job["status"] = {}
    if spec.get("manualSelector"):
        return
    template = spec["template"]["metadata"]
    labels = {
        "batch.kubernetes.io/controller-uid": metadata["uid"],
        "batch.kubernetes.io/job-name": metadata.get("name", ""),
        "controller-uid": metadata["uid"],
        "job-name": metadata.get("name", ""),
    }
    template["labels"] = {**template.get("labels", {}), **labels}
    metadata["labels"] = metadata.get("labels") or dict(template["labels"])
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}}


def prepare_update(resource: Resource, old: Object, new: Object, subresource: str) -> None:
    """Keep what an update may not change, and count the generation; changes ``new`` in place.

    Raises:
        ApiError: 409 when the update is meant for an object with another uid.
    """
    metadata, stored = new["metadata"], old["metadata"]
    if metadata.get("uid") not in (None, stored["uid"]):
        raise _other_uid(resource, old, metadata["uid"])
    for key in _KEPT_METADATA:
        if key in stored:
            metadata[key] = stored[key]
        else:
            metadata.pop(key, None)
    if subresource in ("status", "finalize"):
        _keep_all_but(resource, old, new, subresource)
    elif "status" in resource.subresources:
        _take(new, old, "status")
    if resource is PODS and new["spec"] is not old["spec"]:
        _positive_grace(new["spec"])
    if "generation" in stored and _counts(resource, old, new, subresource):
        metadata["generation"] = stored["generation"] + 1


def qos_class(spec: dict[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from the cpu and memory of all containers."""
    amounts = [container.get("resources", {}) for container in containers_of(spec)]
    requested = [_compute(a.get("requests", {})) for a in amounts]
    limited = [_compute(a.get("limits", {})) for a in amounts]
    if not any(requested) and not any(limited):
        return "BestEffort"
    guaranteed = all(len(limit) == 2 and limit == request for request, limit in zip(requested, limited, strict=True))
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(amounts: dict[str, str]) -> dict[str, str]:
    return {name: amount for name, amount in amounts.items() if name in ("cpu", "memory") and amount != "0"}


def _positive_grace(spec: dict[str, Any]) -> None:
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1


def _keep_all_but(resource: Resource, old: Object, new: Object, subresource: str) -> None:
    """A subresource changes its own part and metadata only."""
    if subresource == "finalize":
        _take(new, old, "status")
        return
    _take(new, old, "spec")
    for key in ("ownerReferences", *(("labels",) if resource is DEPLOYMENTS else ())):
        if key in old["metadata"]:
            new["metadata"][key] = old["metadata"][key]
        else:
            new["metadata"].pop(key, None)
    if resource is PODS and "qosClass" in old.get("status", {}):
        new["status"].setdefault("qosClass", old["status"]["qosClass"])


def _take(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def _counts(resource: Resource, old: Object, new: Object, subresource: str) -> bool:
    """Whether a change is one of the desired state, which the generation counts."""
    if resource is ENDPOINT_SLICES:
        labels = old["metadata"].get("labels") != new["metadata"].get("labels")
        return labels or any(old.get(key) != new.get(key) for key in ("endpoints", "ports", "addressType"))
    annotations = old["metadata"].get("annotations") != new["metadata"].get("annotations")
    return (resource is DEPLOYMENTS and not subresource and annotations) or (
        old.get("spec") is not new.get("spec") and old.get("spec") != new.get("spec")
    )


def _other_uid(resource: Resource, old: Object, uid: str) -> Exception:
    metadata = old["metadata"]
    key = "/".join(filter(None, ("/registry", resource.plural, metadata.get("namespace"), metadata["name"])))
    return status.conflict(
        resource,
        metadata["name"],
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
        f"failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}",
    )
