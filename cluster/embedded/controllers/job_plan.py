"""What a Job needs next, worked out from its spec, its status and its pods. Pure.

Source: Kubernetes documentation, "Jobs" (completions, pod back-off failure policy, termination and clean-up).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.embedded.controllers.pods import is_active, is_finished, is_ready, phase_of, restarts
from cluster.embedded.meta import has_condition, is_deleted
from cluster.embedded.resources import Object

TRACKING = "batch.kubernetes.io/job-tracking"
BACKOFF_BASE_SECONDS = 10
BACKOFF_LONGEST_SECONDS = 600
_DEADLINE = ("DeadlineExceeded", "Job was active longer than specified deadline")
_BACKOFF = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")


@dataclass(frozen=True, slots=True)
class Counts:
    """The pods of a Job by what they are doing; ``failed`` and ``succeeded`` are those not counted yet."""

    active: list[Object] = field(default_factory=list)
    terminating: int = 0
    ready: int = 0
    succeeded: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)


def is_over(job: Object) -> bool:
    """Complete or Failed."""
    return has_condition(job, "Complete") or has_condition(job, "Failed")


def count(pods: list[Object]) -> Counts:
    """Sort the pods of a Job. One that is being deleted counts as failed, unless it succeeded."""
    uncounted = [pod for pod in pods if TRACKING in (pod["metadata"].get("finalizers") or ())]
    return Counts(
        active=[pod for pod in pods if is_active(pod)],
        terminating=sum(is_deleted(pod) and not is_finished(pod) for pod in pods),
        ready=sum(is_active(pod) and is_ready(pod) for pod in pods),
        succeeded=[pod for pod in uncounted if phase_of(pod) == "Succeeded"],
        failed=[
            pod for pod in uncounted if phase_of(pod) == "Failed" or (is_deleted(pod) and phase_of(pod) != "Succeeded")
        ],
    )


def verdict(job: Object, counts: Counts, moment: datetime) -> tuple[str, str, str] | None:
    """(condition type, reason, message) that ends the Job: FailureTarget or SuccessCriteriaMet; None to go on."""
    spec, status = job["spec"], job.get("status") or {}
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        if has_condition(job, kind):
            known = next(c for c in status["conditions"] if c["type"] == kind)
            return kind, known["reason"], known["message"]
    failed = status.get("failed", 0) + len(counts.failed)
    if failed > spec.get("backoffLimit", 6) or _restarted_too_often(spec, counts):
        return "FailureTarget", *_BACKOFF
    if (left := seconds_to_deadline(job, moment)) is not None and left <= 0:
        return "FailureTarget", *_DEADLINE
    succeeded = status.get("succeeded", 0) + len(counts.succeeded)
    wanted = spec.get("completions")
    if (wanted is not None and succeeded >= wanted) or (wanted is None and succeeded and not counts.active):
        return "SuccessCriteriaMet", *_REACHED
    return None


def _restarted_too_often(spec: dict[str, Any], counts: Counts) -> bool:
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    total, limit = sum(restarts(pod) for pod in counts.active), spec.get("backoffLimit", 6)
    return total > 0 if limit == 0 else total >= limit


def seconds_to_deadline(job: Object, moment: datetime) -> float | None:
    """Seconds until ``activeDeadlineSeconds`` is over; None without a deadline or before the start."""
    deadline, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if deadline is None or not start:
        return None
    return float(deadline) - (moment - datetime.fromisoformat(start)).total_seconds()


def pods_missing(job: Object, counts: Counts) -> int:
    """How many pods to create (positive) or to delete (negative)."""
    spec, status = job["spec"], job.get("status") or {}
    parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
    succeeded = status.get("succeeded", 0) + len(counts.succeeded)
    if completions is not None:
        return int(min(parallelism, completions - succeeded)) - len(counts.active)
    if succeeded:
        return int(min(0, parallelism - len(counts.active)))
    return int(parallelism) - len(counts.active)


def backoff_ends(failures: int, last_failure: datetime | None) -> datetime | None:
    """When the next pod may be created after that many failures in a row; None for at once."""
    if not failures or last_failure is None:
        return None
    delay = min(BACKOFF_BASE_SECONDS * 2 ** (failures - 1), BACKOFF_LONGEST_SECONDS)
    return last_failure + timedelta(seconds=delay)


def finished_at(pod: Object) -> datetime:
    """When the last container of a pod ended; the present when the pod does not say."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    ends = [s["state"]["terminated"].get("finishedAt") for s in statuses if "terminated" in (s.get("state") or {})]
    return max((datetime.fromisoformat(end) for end in ends if end), default=datetime.now(UTC))
