"""The ReplicaSets of a Deployment: which is the new one, what it is called, and its revision annotations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cluster.embedded.controllers.replicaset import wanted
from cluster.embedded.controllers.rollout import Bounds, Size, bounds_of
from cluster.embedded.controllers.templates import same_template, with_hash
from cluster.embedded.meta import annotations_of, controller_reference, labels_of
from cluster.embedded.resources import Object

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    (
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
    )
)
_HISTORY_CHARACTERS = 2000


def revision_of(obj: Object) -> int:
    """The revision annotation; 0 when it is absent or no number."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def by_age(sets: Iterable[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(sets, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))


def new_set(deployment: Object, sets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet with the Deployment's template (a rollback finds the former one), or None."""
    template = deployment["spec"]["template"]
    return next((item for item in by_age(sets) if same_template(item["spec"]["template"], template)), None)


def old_sets(sets: Iterable[Object], new: Object | None) -> list[Object]:
    """All but the new one, oldest first."""
    uid = new["metadata"]["uid"] if new else None
    return [item for item in by_age(sets) if item["metadata"]["uid"] != uid]


def size_of(replica_set: Object) -> Size:
    """What the arithmetic of rollouts needs to know of a ReplicaSet."""
    maximum = annotations_of(replica_set).get(MAXIMUM, "")
    return Size(
        name=replica_set["metadata"]["name"],
        replicas=wanted(replica_set),
        available=int((replica_set.get("status") or {}).get("availableReplicas") or 0),
        created=replica_set["metadata"]["creationTimestamp"],
        max_replicas=int(maximum) if maximum.isdigit() else None,
    )


def size_annotations(bounds: Bounds) -> dict[str, str]:
    """What a ReplicaSet remembers of the Deployment's size when it is scaled."""
    maximum = bounds.max_total if bounds.replicas else 0
    return {DESIRED: str(bounds.replicas), MAXIMUM: str(maximum)}


def revised(deployment: Object, replica_set: Object, old: Sequence[Object]) -> dict[str, str]:
    """The annotations of a ReplicaSet that is (again) the new one: highest revision, former ones in the history."""
    annotations = dict(annotations_of(replica_set))
    copied = {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    annotations.update(copied)
    revision = max(map(revision_of, old), default=0) + 1
    if revision <= revision_of(replica_set):
        return annotations
    if former := annotations.get(REVISION):
        history = ",".join(filter(None, [annotations.get(HISTORY), former]))
        annotations[HISTORY] = history[-_HISTORY_CHARACTERS:]
    annotations[REVISION] = str(revision)
    return annotations


def fresh_set(deployment: Object, old: Sequence[Object], hash_value: str) -> Object:
    """A new ReplicaSet for the Deployment's template, with no replicas yet."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    template = dict(spec["template"])
    template_metadata = dict(template.get("metadata") or {})
    template_metadata["labels"] = with_hash(template_metadata.get("labels"), hash_value)
    template["metadata"] = template_metadata
    selector = dict(spec["selector"])
    selector["matchLabels"] = with_hash(selector.get("matchLabels"), hash_value)
    replica_set: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{hash_value}",
            "namespace": metadata["namespace"],
            "labels": dict(template_metadata["labels"]),
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        replica_set["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    annotations = revised(deployment, replica_set, old)
    replica_set["metadata"]["annotations"] = {**annotations, **size_annotations(bounds_of(deployment))}
    return replica_set


def is_scaling(deployment: Object, sets: Iterable[Object]) -> bool:
    """Whether ``replicas`` changed since an active ReplicaSet was last scaled."""
    replicas = bounds_of(deployment).replicas
    for item in sets:
        desired = annotations_of(item).get(DESIRED, "")
        if wanted(item) > 0 and desired.isdigit() and int(desired) != replicas:
            return True
    return False


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """Whether the new ReplicaSet alone is all that is asked for."""
    if new is None:
        return False
    replicas = bounds_of(deployment).replicas
    available = (new.get("status") or {}).get("availableReplicas", 0)
    desired = annotations_of(new).get(DESIRED)
    return wanted(new) == replicas and desired == str(replicas) and available == replicas


def is_idle(replica_set: Object) -> bool:
    """No pods, none asked for, and the status says so about the current spec."""
    status = replica_set.get("status") or {}
    return (
        wanted(replica_set) == 0
        and not status.get("replicas")
        and status.get("observedGeneration", 0) >= replica_set["metadata"].get("generation", 1)
    )


def matching_pod_labels(replica_set: Object) -> dict[str, str]:
    """The labels its pods carry."""
    return labels_of({"metadata": replica_set["spec"]["template"].get("metadata") or {}})
