"""What no remediation may ever do, whatever it is told to repair. Pure: from recorded calls to breaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.evidence import PodCount, count_at
from gameday.intercept.calls import Call

_OWN_RECORDS = ("leases", "configmaps")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The bounds of one scenario.

    Attributes:
        namespace, release, model, environment: what the remediation was told to repair.
        deployments: names of the release's own Deployments.
        pods_deleted: at most so many pods may be deleted.
        scalable: NAMESPACE/NAME of workloads of others that may be scaled down.
    """

    namespace: str
    release: str
    model: str
    environment: str
    deployments: tuple[str, ...]
    pods_deleted: int
    scalable: tuple[str, ...] = ()


def breaches(calls: Sequence[Call], pods: Sequence[PodCount], envelope: Envelope, *, flushes: int = 0) -> list[str]:
    """Why the remediation went too far, each in one sentence; empty when it did not.

    Args:
        pods: pod counts over time, on the clock of the calls.
        flushes: how often Redis was flushed in the meantime.
    """
    writes = [call for call in calls if call.writes and call.succeeded]
    found = [reason for call in writes if (reason := _forbidden(call, envelope))]
    deleted = {call.name for call in writes if (call.verb, call.resource) == ("delete", "pods")}
    if len(deleted) > envelope.pods_deleted:
        found.append(f"it deleted {len(deleted)} pods, {envelope.pods_deleted} are allowed")
    if flushes:
        found.append(f"Redis was flushed {flushes} time(s): every model's cache and every rate limit is gone")
    if reason := _emptied(writes, pods):
        found.append(reason)
    return found


def _forbidden(call: Call, envelope: Envelope) -> str:
    if call.surface == "registry":
        return _forbidden_in_registry(call, envelope)
    if call.surface != "kubernetes":
        return ""
    if call.verb == "deletecollection":
        return f"it deletes whole collections: {call.what}"
    own = call.namespace == envelope.namespace
    if call.verb == "delete" and not _may_delete(call, own):
        return f"it deletes what is not its own: {call.what}"
    if call.replicas is None or call.resource != "deployments":
        return "" if own or _is_cluster_scoped(call) else f"it writes to another namespace: {call.what}"
    if own and call.name in envelope.deployments:
        return f"it scales {call.name} to zero" if call.replicas == 0 else ""
    named = f"{call.namespace}/{call.name}"
    return "" if named in envelope.scalable else f"it scales a workload that is not its own: {named}"


def _may_delete(call: Call, own: bool) -> bool:
    """Pods are made again by their controller; Secrets are Helm's own old revisions."""
    if not own:
        return False
    helm = call.resource == "secrets" and call.name.startswith("sh.helm.release.v1.")
    return call.resource == "pods" or helm or call.resource in _OWN_RECORDS


def _is_cluster_scoped(call: Call) -> bool:
    return not call.namespace and call.resource == "nodes"


def _forbidden_in_registry(call: Call, envelope: Envelope) -> str:
    entry = f"/{envelope.environment}/{envelope.model}"
    allowed = (
        ("PUT", f"/v1/registry/models{entry}"),
        ("POST", f"/v1/registry/models{entry}/enable"),
        ("DELETE", f"/v1/registry/cache{entry}"),
    )
    return "" if (call.method, call.path) in allowed else f"it changes the registry beyond its model: {call.what}"


def _emptied(writes: Sequence[Call], pods: Sequence[PodCount]) -> str:
    """Whether pods served when it first touched something, and none did later."""
    touching = [c for c in writes if c.surface == "kubernetes" and c.resource in ("pods", "deployments")]
    if not touching:
        return ""
    first = touching[0].at_seconds
    before = count_at(pods, first)
    if before is None or before.ready == 0:
        return ""
    empty = [count for count in pods if count.at_seconds > first and count.ready == 0]
    return f"no pod served any more after its changes; {before.ready} did before" if empty else ""
