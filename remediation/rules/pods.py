"""Pods that do not serve, when no rule knows better: so that nothing is called healthy when it is not."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Cause, Family, Finding
from remediation.rules.oom import was_killed_for_memory
from remediation.snapshot import Container, Pod, Snapshot

RESTARTS_THAT_LOOP = 2
WAITING_FAILURES = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)


def find(snapshot: Snapshot) -> Sequence[Finding]:
    """Unschedulable, crash-looping and not-ready pods, each cause with its pods."""
    if snapshot.deployment is None or snapshot.deployment.desired == 0:
        return _unknown_state(snapshot)
    pods = [p for p in snapshot.workload_pods if not any(map(was_killed_for_memory, p.containers))]
    pending = [p for p in pods if p.unschedulable_message]
    looping = [p for p in pods if _loops(p)]
    failing = [p for p in pods if _cannot_start(p)]
    known = {p.name for p in (*pending, *looping, *failing)}
    starting = [p for p in pods if not p.ready and p.name not in known]
    return tuple(
        finding
        for finding in (
            _finding(Cause.UNSCHEDULABLE, Family.CAPACITY, pending, "cannot be scheduled", 0.9),
            _finding(Cause.CRASH_LOOPING, Family.APPLICATION, looping, "crash loop(s)", 0.7),
            _finding(Cause.NOT_READY, Family.APPLICATION, failing, "cannot start a container", 0.8),
            _waiting(snapshot, starting),
        )
        if finding is not None
    )


def _unknown_state(snapshot: Snapshot) -> Sequence[Finding]:
    if snapshot.deployment is None:
        why = "; ".join(snapshot.missing) or "no Deployment belongs to the release"
        return (Finding(Cause.NO_DATA, Family.DATA, 1.0, f"no data: {why}", actionable=False),)
    text = f"Deployment {snapshot.deployment.name} is scaled to zero replicas"
    return (Finding(Cause.ZERO_REPLICAS, Family.CAPACITY, 1.0, text, actionable=False),)


def _finding(cause: Cause, family: Family, pods: Sequence[Pod], what: str, confidence: float) -> Finding | None:
    if not pods:
        return None
    reasons = tuple(dict.fromkeys(reason for pod in pods for reason in _reasons(pod)))
    return Finding(
        cause=cause,
        family=family,
        confidence=confidence,
        summary=f"{len(pods)} pod(s) {what}",
        evidence=tuple(f"pod {p.name}: {', '.join(_reasons(p)) or p.phase}" for p in pods),
        pods=tuple(p.name for p in pods),
        reasons=reasons,
    )


def _waiting(snapshot: Snapshot, pods: Sequence[Pod]) -> Finding | None:
    """Pods that may merely be starting: a finding that is confirmed only when the rollout's own deadline has
    passed.
    """
    deployment = snapshot.deployment
    if deployment is None or (not pods and snapshot.healthy >= deployment.desired):
        return None
    exceeded = deployment.progress_deadline_exceeded
    return Finding(
        cause=Cause.NOT_READY,
        family=Family.APPLICATION,
        confidence=0.6 if exceeded else 0.2,
        summary=f"{snapshot.healthy} of {deployment.desired} pods serve; {len(pods)} not ready yet",
        evidence=tuple(f"pod {p.name}: {p.phase}, not Ready" for p in pods),
        against=() if exceeded else ("they may still be starting",),
        pods=tuple(p.name for p in pods),
        confirmed=exceeded,
    )


def _loops(pod: Pod) -> bool:
    """In back-off, dead with an error, or restarting again and again while Ready in between (W20)."""
    return any(
        c.waiting_reason == "CrashLoopBackOff"
        or (c.terminated is not None and c.terminated.exit_code != 0)
        or (c.restart_count >= RESTARTS_THAT_LOOP and not pod.stable)
        for c in pod.containers
    )


def _cannot_start(pod: Pod) -> bool:
    return any(c.waiting_reason in WAITING_FAILURES for c in pod.containers)


def _reasons(pod: Pod) -> list[str]:
    scheduling = [pod.unschedulable_message] if pod.unschedulable_message else []
    return scheduling + [text for c in pod.containers for text in _container_reasons(c)]


def _container_reasons(container: Container) -> list[str]:
    waiting = [container.waiting_reason] if container.waiting_reason else []
    return waiting + [f"{t.reason} (exit code {t.exit_code})" for t in container.terminations[:1]]
