"""What the Job controller reads from pods: who is active, who has ended, how long to wait after a failure. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from cluster.embedded.controllers.pods import is_active, is_finished, is_ready, phase_of, pod_from_template
from cluster.embedded.meta import condition_of, controller_reference, is_deleted, seconds_since
from cluster.embedded.resources import Object

TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
_BACKOFF_SECONDS = 10.0
_LONGEST_BACKOFF_SECONDS = 600.0


@dataclass(slots=True)
class Tally:
    """The pods of a Job, by what they mean to it.

    Attributes:
        active: neither finished nor being deleted.
        succeeded: uids that are tracked and have succeeded.
        failed: uids that are tracked and have failed.
        tracked: the pods that still carry the tracking finalizer, by uid.
        terminating: how many are being deleted and have not finished.
    """

    active: list[Object] = field(default_factory=list)
    succeeded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    tracked: dict[str, Object] = field(default_factory=dict)
    terminating: int = 0

    @property
    def ready(self) -> int:
        """How many active pods are ready."""
        return sum(is_ready(pod) for pod in self.active)


def is_tracked(pod: Object) -> bool:
    """Whether the pod waits to be counted."""
    return TRACKING_FINALIZER in (pod["metadata"].get("finalizers") or [])


def tally_of(job: Object, pods: Iterable[Object], released: Collection[str]) -> Tally:
    """Count the pods of a Job.

    A pod that is being deleted counts as failed at once, unless ``podReplacementPolicy: Failed`` waits for its end.

    Args:
        job: the owner.
        pods: all it owns, finished ones too.
        released: uids whose finalizer was taken off already, whatever the cache says.
    """
    patient = job["spec"].get("podReplacementPolicy") == "Failed"
    tally = Tally()
    for pod in pods:
        uid = pod["metadata"]["uid"]
        if is_active(pod):
            tally.active.append(pod)
        tally.terminating += is_deleted(pod) and not is_finished(pod)
        if not is_tracked(pod) or uid in released:
            continue
        tally.tracked[uid] = pod
        if phase_of(pod) == "Succeeded":
            tally.succeeded.append(uid)
        elif phase_of(pod) == "Failed" or (is_deleted(pod) and not patient):
            tally.failed.append(uid)
    return tally


def restarts_of(pods: Iterable[Object]) -> int:
    """How often all containers were restarted, init containers too."""
    total = 0
    for pod in pods:
        status = pod.get("status") or {}
        for key in ("initContainerStatuses", "containerStatuses"):
            total += sum(int(container.get("restartCount") or 0) for container in status.get(key) or [])
    return total


def finished_at(pod: Object) -> str:
    """When the pod ended, as a ``Time``: its last container's end, else the best guess that Kubernetes makes."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    ends = [
        ended
        for container in status.get("containerStatuses") or []
        if (ended := ((container.get("state") or {}).get("terminated") or {}).get("finishedAt"))
    ]
    ready = condition_of(pod, "Ready") or {}
    guess = metadata.get("deletionTimestamp") or ready.get("lastTransitionTime") or metadata.get("creationTimestamp")
    return str(max(ends) if ends else guess)


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Failures since the last success. See "Pod backoff failure policy" in the Kubernetes documentation."""

    failures: int = 0
    last: str = ""

    def after(self, tally: Tally, counted: Collection[str]) -> FailureRecord:
        """The record after the pods of the tally ended that were not counted before."""
        ended = sorted(
            (finished_at(tally.tracked[uid]), uid in tally.failed)
            for uid in (*tally.succeeded, *tally.failed)
            if uid not in counted
        )
        record = self
        for moment, failed in ended:
            record = FailureRecord(record.failures + 1, max(record.last, moment)) if failed else FailureRecord()
        return record

    def seconds_left(self) -> float:
        """How long to wait before the next pod: 10 s after the first failure, doubling up to 10 minutes."""
        if not self.failures:
            return 0.0
        delay = min(_BACKOFF_SECONDS * 2.0 ** min(self.failures - 1, 20), _LONGEST_BACKOFF_SECONDS)
        return max(0.0, delay - seconds_since(self.last))


def new_pod(job: Object) -> Object:
    """A pod of the Job, to be tracked until it is counted."""
    metadata = job["metadata"]
    owner = controller_reference(job)
    pod = pod_from_template(job["spec"]["template"], metadata["name"], metadata["namespace"], owner)
    finalizers = [*(pod["metadata"].get("finalizers") or []), TRACKING_FINALIZER]
    return {**pod, "metadata": {**pod["metadata"], "finalizers": finalizers}}
