"""When a Job is over, and how its status says so. Pure. Source: Kubernetes documentation, "Jobs"."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.embedded.controllers.job_pods import Tally, restarts_of
from cluster.embedded.meta import has_condition, now, seconds_since
from cluster.embedded.resources import Object

_INTERIM = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a Job ends; ``interim`` is the condition that says so while its pods still terminate."""

    interim: str
    reason: str
    message: str

    @property
    def failed(self) -> bool:
        """Whether the Job failed."""
        return self.interim == "FailureTarget"

    @property
    def final(self) -> str:
        """The condition of a Job that is over."""
        return _INTERIM[self.interim]


_REACHED = Outcome("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
_BACKOFF = Outcome("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
_DEADLINE = Outcome("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")


def is_over(job: Object) -> bool:
    """Whether the Job is Complete or Failed."""
    return any(has_condition(job, kind) for kind in _INTERIM.values())


def is_suspended(job: Object) -> bool:
    """``spec.suspend``."""
    return bool(job["spec"].get("suspend"))


def outcome_said(job: Object) -> Outcome | None:
    """The outcome that the status announces already."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] in _INTERIM and condition["status"] == "True":
            return Outcome(condition["type"], condition.get("reason", ""), condition.get("message", ""))
    return None


def failure_of(job: Object, status: Object, tally: Tally) -> Outcome | None:
    """Why the Job fails now, if it does.

    Args:
        job: its spec counts.
        status: with the start time of this round.
        tally: its pods.
    """
    spec = job["spec"]
    limit = int(spec.get("backoffLimit", 6))
    if total(status, tally, "failed") > limit:
        return _BACKOFF
    if spec["template"]["spec"].get("restartPolicy") == "OnFailure":
        restarts = restarts_of(tally.active)
        if restarts and restarts >= limit:
            return _BACKOFF
    left = seconds_to_deadline(job, status)
    return _DEADLINE if left is not None and left <= 0 else None


def success_of(job: Object, status: Object, tally: Tally, active: int) -> Outcome | None:
    """Whether enough pods succeeded and none is active any more."""
    succeeded, completions = total(status, tally, "succeeded"), job["spec"].get("completions")
    reached = succeeded > 0 if completions is None else succeeded >= int(completions)
    return _REACHED if reached and active == 0 else None


def seconds_to_deadline(job: Object, status: Object) -> float | None:
    """Seconds that ``activeDeadlineSeconds`` leaves; None without a deadline, or while the Job is suspended."""
    deadline, start = job["spec"].get("activeDeadlineSeconds"), status.get("startTime")
    if deadline is None or start is None or is_suspended(job):
        return None
    return float(int(deadline) - seconds_since(start))


def wanted(job: Object, status: Object, tally: Tally) -> int:
    """How many pods should be active."""
    spec = job["spec"]
    if is_suspended(job):
        return 0
    parallelism = int(spec.get("parallelism", 1))
    succeeded = total(status, tally, "succeeded")
    if spec.get("completions") is None:  # a work queue: after the first success no pod is added
        return min(len(tally.active), parallelism) if succeeded else parallelism
    return max(0, min(int(spec["completions"]) - succeeded, parallelism))


def total(status: Object, tally: Tally, kind: str) -> int:
    """Pods that ``succeeded`` or ``failed``: counted, about to be counted, and just seen."""
    waiting = set((status.get("uncountedTerminatedPods") or {}).get(kind) or [])
    seen = tally.succeeded if kind == "succeeded" else tally.failed
    return int(status.get(kind) or 0) + len(waiting | set(seen))


def settle(status: Object, tracked: Collection[str]) -> None:
    """Move the uncounted pods that are tracked no more into the counters, in place."""
    waiting = status.get("uncountedTerminatedPods") or {}
    left: dict[str, list[str]] = {}
    for kind in ("succeeded", "failed"):
        uids = waiting.get(kind) or []
        if kept := [uid for uid in uids if uid in tracked]:
            left[kind] = kept
        if settled := len(uids) - len(kept):
            status[kind] = int(status.get(kind) or 0) + settled
    status["uncountedTerminatedPods"] = left


def note_uncounted(status: Object, tally: Tally, deleted: Collection[str]) -> None:
    """Write down the pods that ended, before their finalizers go: so each counts once, whatever crashes.

    Args:
        status: changed in place.
        tally: the pods.
        deleted: uids of tracked pods that were deleted because the Job failed; they count as failed.
    """
    waiting: dict[str, list[str]] = status["uncountedTerminatedPods"]
    failed = [*tally.failed, *(uid for uid in deleted if uid in tally.tracked)]
    for kind, uids in (("succeeded", tally.succeeded), ("failed", failed)):
        if merged := list(dict.fromkeys([*(waiting.get(kind) or []), *uids])):
            waiting[kind] = merged


def base_status(job: Object) -> dict[str, Any]:
    """The status to begin a round with: a private copy, started unless the Job is suspended."""
    status: dict[str, Any] = copy.deepcopy(job.get("status") or {})
    if not status.get("startTime") and not is_suspended(job):
        status["startTime"] = now()
    return status


def set_counts(status: Object, active: int, ready: int, terminating: int) -> None:
    """The counts of living pods; ``active`` is left out when it is zero, the others are not."""
    status.pop("active", None)
    if active:
        status["active"] = active
    status["ready"], status["terminating"] = ready, terminating


def add_condition(status: Object, kind: str, reason: str, message: str) -> None:
    """Add a condition that is True and stays, unless it is there."""
    conditions = status.setdefault("conditions", [])
    if any(condition["type"] == kind for condition in conditions):
        return
    conditions.append(_condition(kind, "True", reason, message))


def announce(status: Object, outcome: Outcome) -> None:
    """Say how the Job will end, while pods are still to be counted or to go."""
    add_condition(status, outcome.interim, outcome.reason, outcome.message)


def conclude(status: Object, outcome: Outcome) -> None:
    """Say that the Job is over."""
    add_condition(status, outcome.final, outcome.reason, outcome.message)
    if not outcome.failed:
        status["completionTime"] = now()


def note_suspension(job: Object, status: Object) -> tuple[str, str] | None:
    """Keep the condition Suspended true to the spec, in place. Returns reason and message of the event it deserves."""
    suspended = is_suspended(job)
    conditions = status.get("conditions") or []
    known = next((condition for condition in conditions if condition["type"] == "Suspended"), None)
    if (known is None and not suspended) or (known and known["status"] == str(suspended)):
        return None
    word = "Suspended" if suspended else "Resumed"
    changed = _condition("Suspended", str(suspended), f"Job{word}", f"Job {word.lower()}")
    status["conditions"] = [*(c for c in conditions if c is not known), changed]
    if not suspended:
        status["startTime"] = now()
    return word, f"Job {word.lower()}"


def ended_at(job: Object) -> str | None:
    """When the Job became Complete or Failed."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] in _INTERIM.values() and condition["status"] == "True":
            return str(condition["lastTransitionTime"])
    return None


def _condition(kind: str, value: str, reason: str, message: str) -> Mapping[str, Any]:
    moment = now()
    return {
        "type": kind,
        "status": value,
        "lastProbeTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }
