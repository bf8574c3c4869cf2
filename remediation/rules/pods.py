"""Pods that do not serve, when no rule knows better: so that nothing is called healthy when it is not."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Evidence, Family, Finding
from remediation.policy import Policy
from remediation.rules import RuleFamily
from remediation.rules.memory import was_killed_for_memory
from remediation.snapshot import Container, Pod, Snapshot

UNSCHEDULABLE = "unschedulable"
CRASH_LOOPING = "crash_looping"
NOT_READY = "not_ready"
ZERO_REPLICAS = "zero_replicas"
NO_DATA = "no_data"
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


def find(snapshot: Snapshot, policy: Policy) -> Sequence[Finding]:
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
            _finding(UNSCHEDULABLE, Family.CAPACITY, pending, "cannot be scheduled", 0.9),
            _finding(CRASH_LOOPING, Family.APPLICATION, looping, "crash loop(s)", 0.7),
            _finding(NOT_READY, Family.APPLICATION, failing, "cannot start a container", 0.8),
            _waiting(snapshot, starting),
        )
        if finding is not None
    )


def _unknown_state(snapshot: Snapshot) -> Sequence[Finding]:
    if snapshot.deployment is None:
        why = "; ".join(snapshot.missing) or "no Deployment belongs to the release"
        return (Finding(NO_DATA, Family.DATA, 1.0, f"no data: {why}", actionable=False),)
    text = f"Deployment {snapshot.deployment.name} is scaled to zero replicas"
    return (Finding(ZERO_REPLICAS, Family.CAPACITY, 1.0, text, actionable=False),)


def _finding(cause: str, family: Family, pods: Sequence[Pod], what: str, confidence: float) -> Finding | None:
    if not pods:
        return None
    reasons = tuple(dict.fromkeys(reason for pod in pods for reason in _reasons(pod)))
    return Finding(
        cause=cause,
        family=family,
        confidence=confidence,
        summary=f"{len(pods)} pod(s) {what}",
        evidence=tuple(Evidence(f"pod {p.name}", "status", ", ".join(_reasons(p)) or p.phase) for p in pods),
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
        cause=NOT_READY,
        family=Family.APPLICATION,
        confidence=0.6 if exceeded else 0.2,
        summary=f"{snapshot.healthy} of {deployment.desired} pods serve; {len(pods)} not ready yet",
        evidence=tuple(Evidence(f"pod {p.name}", "Ready", f"False, phase {p.phase}") for p in pods),
        against=() if exceeded else (Evidence("Deployment", "Progressing", "True: they may still be starting"),),
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


FAMILY = RuleFamily("pods", find)
