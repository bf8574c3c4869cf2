"""What must hold before anything is called repaired. Silence is not success."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clients.errors import GamedayError
from remediation.act import Actor
from remediation.actions.base import Action
from remediation.actions.checks import VerifyCompletion, VerifyRouting
from remediation.diagnose import diagnose
from remediation.model import Finding
from remediation.observe import Observer
from remediation.policy import Policy
from remediation.rules import RuleFamily
from remediation.rules.registry import REGISTRY_UNREADABLE
from remediation.snapshot import Snapshot


@dataclass(frozen=True)
class Validation:
    """Whether all postconditions hold; if not, which do not."""

    ok: bool
    unmet: tuple[str, ...]
    snapshot: Snapshot


def unmet(snapshot: Snapshot, policy: Policy, rules: Sequence[RuleFamily] | None = None) -> Iterator[str]:
    """The postconditions that a snapshot does not meet (runbook, "After Remediation Checklist"). Pure."""
    deployment = snapshot.deployment
    if deployment is None or deployment.desired == 0:
        yield "no replicas are wanted, or nothing is known of them"
        return
    if not deployment.rolled_out:
        yield f"the rollout is not complete: {deployment.updated} updated, {deployment.available} available"
    if snapshot.healthy < deployment.desired:
        yield f"{snapshot.healthy} of {deployment.desired} pods are healthy"
    elif snapshot.stable < deployment.desired:
        yield f"{snapshot.stable} of {deployment.desired} pods are stable"
    yield from (f.summary for f in diagnose(snapshot, policy, rules) if _counts(f))
    yield from _traffic(snapshot, policy)


def _counts(finding: Finding) -> bool:
    return finding.confirmed or finding.cause == REGISTRY_UNREADABLE


def _traffic(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    traffic = snapshot.traffic
    if traffic.error_rate is not None and traffic.error_rate > policy.slo_error_rate:
        yield f"{traffic.error_rate:.2%} of requests fail (SLO {policy.slo_error_rate:.2%})"
    if traffic.p95_seconds is not None and traffic.p95_seconds > policy.slo_p95_seconds:
        yield f"P95 is {traffic.p95_seconds:.2f} s (SLO {policy.slo_p95_seconds:.2f} s)"


@dataclass
class Validator:
    """Waits until the postconditions hold, then proves them with real completions."""

    observer: Observer
    actor: Actor
    policy: Policy
    on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None

    def validate(self, *, stop: threading.Event, deadline: float) -> Validation:
        """Observe until everything holds, or `stop` is set, or `deadline` (monotonic seconds) has passed."""
        deadline = min(deadline, time.monotonic() + self.policy.validate_timeout_seconds)
        while True:
            snapshot, problems = self._check(stop, deadline)
            if not problems or time.monotonic() >= deadline or stop.wait(self.policy.poll_seconds):
                return Validation(not problems, problems, snapshot)

    def _check(self, stop: threading.Event, deadline: float) -> tuple[Snapshot, tuple[str, ...]]:
        try:
            snapshot = self.observer.observe()
        except GamedayError as error:
            return Snapshot(time.monotonic()), (str(error),)
        self.on_snapshot(snapshot)
        return snapshot, tuple(unmet(snapshot, self.policy, self.observer.rules)) or self._proof(stop, deadline)

    def _proof(self, stop: threading.Event, deadline: float) -> tuple[str, ...]:
        checks: list[Action] = [VerifyCompletion()]
        if self.observer.target.router_url:
            checks.append(VerifyRouting())
        results = [self.actor.perform(check, stop=stop, deadline=deadline) for check in checks]
        return tuple(result.detail for result in results if not result.ok)
