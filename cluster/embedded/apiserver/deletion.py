"""What a delete does: grace periods of pods, finalizers, propagation policies, preconditions.

(Kubernetes source: ``registry/rest/delete.go`` and ``registry/generic/registry/store.go``.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.lifecycle import now, shifted
from cluster.embedded.resources import JOBS, NAMESPACES, PODS, SERVICE_ACCOUNTS, SERVICES, Object, Resource

_FINALIZERS = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
_UNDELETABLE_NAMESPACES = ("default", "kube-system", "kube-public")


@dataclass(frozen=True, slots=True)
class Deletion:
    """What to do with an object.

    Attributes:
        marked: the object to write first, None when it stays as it is.
        remove: whether to take it out of the store now.
    """

    marked: Object | None
    remove: bool


def check_preconditions(resource: Resource, obj: Object, uid: str, resource_version: str) -> None:
    """Refuse a delete that is meant for another object or version. Raises ApiError 409."""
    metadata = obj["metadata"]
    if uid and metadata["uid"] != uid:
        problem = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise status.precondition_failed(resource, metadata["name"], problem)
    if resource_version and metadata["resourceVersion"] != resource_version:
        problem = (
            f"the ResourceVersion in the precondition ({resource_version}) does not match the ResourceVersion in "
            f"record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise status.precondition_failed(resource, metadata["name"], problem)


def check_propagation(propagation: str | None) -> None:
    """Refuse an unknown propagation policy. Raises ApiError 422."""
    if propagation in (None, "", "Background", *_FINALIZERS):
        return
    problem = f'Unsupported value: "{propagation}": supported values: "Foreground", "Background", "Orphan", "nil"'
    cause = {"reason": "FieldValueNotSupported", "message": problem, "field": "propagationPolicy"}
    raise status.invalid_kind("DeleteOptions", "meta.k8s.io", "", [cause])


def plan(resource: Resource, obj: Object, grace_seconds: int | None, propagation: str | None) -> Deletion:
    """What deleting the object means now. Raises ApiError 403 for a namespace that has to stay."""
    if grace_seconds is not None and grace_seconds < 0:
        grace_seconds = 1
    if resource is NAMESPACES:
        return _namespace(obj)
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata and "deletionGracePeriodSeconds" in metadata:
        return _again(obj, grace_seconds)
    default = "Orphan" if resource is JOBS else None  # for compatibility, says a real server
    finalizers = _finalizers(metadata.get("finalizers", []), propagation or default)
    if resource is PODS:
        grace = _pod_grace(obj, grace_seconds)
        return Deletion(_marked(obj, grace, finalizers), remove=grace == 0 and not finalizers)
    if finalizers:
        return Deletion(_marked(obj, 0, finalizers), remove=False)
    return Deletion(None, remove=True)


def goes_with_update(obj: Object) -> bool:
    """Whether an update took the last thing that kept a deleted object: its finalizers."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if obj.get("kind") == NAMESPACES.kind:
        return not obj.get("spec", {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


def answers_object(resource: Resource) -> bool:
    """Whether a completed delete answers the object; most resources answer a Status."""
    return resource in (PODS, SERVICES, SERVICE_ACCOUNTS)


def _namespace(namespace: Object) -> Deletion:
    metadata = namespace["metadata"]
    if metadata["name"] in _UNDELETABLE_NAMESPACES:
        raise status.forbidden(NAMESPACES, metadata["name"], "this namespace may not be deleted")
    if "deletionTimestamp" in metadata:
        return Deletion(None, remove=goes_with_update(namespace))
    marked = {
        **namespace,
        "metadata": {**metadata, "deletionTimestamp": now()},
        "status": {**namespace.get("status", {}), "phase": "Terminating"},
    }
    return Deletion(marked, remove=goes_with_update(marked))


def _again(obj: Object, grace_seconds: int | None) -> Deletion:
    """A grace period can be shortened, not lengthened."""
    metadata = obj["metadata"]
    current = metadata["deletionGracePeriodSeconds"]
    if grace_seconds is None or grace_seconds >= current:
        return Deletion(None, remove=False)
    shorter = {
        **metadata,
        "deletionTimestamp": shifted(metadata["deletionTimestamp"], grace_seconds - current),
        "deletionGracePeriodSeconds": grace_seconds,
    }
    remove = grace_seconds == 0 and not metadata.get("finalizers")
    return Deletion({**obj, "metadata": shorter}, remove=remove)


def _pod_grace(pod: Object, grace_seconds: int | None) -> int:
    spec = pod["spec"]
    finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if not spec.get("nodeName") or finished:
        return 0
    grace = grace_seconds if grace_seconds is not None else spec.get("terminationGracePeriodSeconds", 30)
    return grace if grace >= 0 else 1


def _finalizers(current: list[str], propagation: str | None) -> list[str]:
    if not propagation:
        return current
    others = [name for name in current if name not in _FINALIZERS.values()]
    wanted = _FINALIZERS.get(propagation)
    return [*others, wanted] if wanted else others


def _marked(obj: Object, grace: int, finalizers: list[str]) -> Object:
    metadata: dict[str, Any] = {
        **obj["metadata"],
        "deletionTimestamp": shifted(now(), grace),
        "deletionGracePeriodSeconds": grace,
    }
    if "generation" in metadata:
        metadata["generation"] += 1
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    return {**obj, "metadata": metadata}
