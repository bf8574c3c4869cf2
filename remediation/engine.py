"""The loop: observe, diagnose, decide, plan, act, validate; and its guard rails.

It watches until a finding is confirmed, acts once per round, and ends with an outcome. It never scales anything,
refuses plans with too many changes, and hands over to people when an action fails or its effect does not hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from clients.errors import GamedayError
from clients.helm import HelmClient
from clients.kube import KubeClient
from remediation.act import Actor
from remediation.decide import decide
from remediation.diagnose import diagnose
from remediation.http import HttpCompletions, HttpRegistry
from remediation.model import (
    ActionResult,
    Cause,
    Decision,
    DecisionAction,
    EventName,
    Finding,
    JsonValue,
    Outcome,
    OutcomeStatus,
    PatchStrategy,
    Phase,
    Plan,
    PlannedAction,
    RemediationEvent,
    Target,
)
from remediation.observe import Observer
from remediation.plan import plan
from remediation.policy import Policy
from remediation.render import as_json, decision_facts, snapshot_facts
from remediation.snapshot import Snapshot
from remediation.validate import Validation, Validator, unmet

Emit = Callable[[RemediationEvent], None]
PROVEN_AT_ONCE = frozenset({Cause.OOM_KILLED, Cause.REGISTRY_DISABLED, Cause.REGISTRY_DISABLED_ON_PURPOSE})
NEVER_A_TRIGGER = frozenset({Cause.HIGH_ERROR_RATE, Cause.RELEASE_PENDING, Cause.REGISTRY_UNREADABLE})


class Remediator(Protocol):
    """Anything that repairs a target: the runbook's remediation, or a sabotaged one that a game day must catch."""

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome: ...


@dataclass
class Watch:
    """Which findings have lasted long enough to be acted on."""

    confirm_seconds: float
    _since: dict[Cause, float] = field(default_factory=dict)

    def confirmed(self, findings: Sequence[Finding], now: float) -> list[Finding]:
        """Findings to act on at `now` (monotonic seconds): proven ones at once, the others when they persist."""
        candidates = {f.cause: f for f in findings if f.confirmed and f.cause not in NEVER_A_TRIGGER}
        self._since = {cause: self._since.get(cause, now) for cause in candidates}
        return [
            finding
            for cause, finding in candidates.items()
            if cause in PROVEN_AT_ONCE or now - self._since[cause] >= self.confirm_seconds
        ]


@dataclass
class Remediation:
    """One remediation of one target, from the first look to the outcome."""

    observer: Observer
    actor: Actor
    target: Target
    policy: Policy
    emit: Emit
    stop: threading.Event
    deadline: float
    patience_seconds: float | None = None
    _events: list[RemediationEvent] = field(default_factory=list)
    _last: Mapping[str, JsonValue] = field(default_factory=dict)
    _changes: int = 0

    def run(self) -> Outcome:
        """Rounds of watching and repairing until something ends it."""
        validation: Validation | None = None
        rounds = 0
        while rounds < self.policy.max_rounds:
            if not self._watch():
                return self._unfound(validation)
            try:
                outcome, done = self._round()
            except GamedayError as error:
                return self._escalate(str(error))
            if outcome is not None:
                return outcome
            if done is not None:
                rounds, validation = rounds + 1, done
        remains = validation.unmet if validation else ()
        return self._escalate("the actions were done, but their effect does not hold", remains)

    def _watch(self) -> bool:
        """Observe until findings are confirmed; False when time is over, or all has been well for long enough."""
        watch = Watch(self.policy.confirm_seconds)
        well_since: float | None = None
        while not self._over():
            snapshot, now = self._look(), time.monotonic()
            if snapshot is not None:
                if watch.confirmed(diagnose(snapshot), now):
                    return True
                well = not any(unmet(snapshot, self.policy))
                well_since = (well_since or now) if well else None
            if self._patience_rewarded(well_since, now):
                return False
            self.stop.wait(self.policy.poll_seconds)
        return False

    def _patience_rewarded(self, well_since: float | None, now: float) -> bool:
        if self.patience_seconds is None or well_since is None:
            return False
        return now - well_since >= self.patience_seconds

    def _round(self) -> tuple[Outcome | None, Validation | None]:
        """Decide on fresh data, act, validate. Without an outcome, watching goes on."""
        snapshot = self._measured()
        findings = diagnose(snapshot)
        if not any(f.confirmed for f in findings):
            return None, None
        self._emit("detected", findings=[as_json(f) for f in findings], **snapshot_facts(snapshot))
        if any(f.cause is Cause.RELEASE_PENDING for f in findings):
            if self._unlocked():
                return None, None
            return self._escalate("the Helm release stays locked", _summaries(findings)), None
        decision = decide(snapshot, findings, self.policy, environment=self.target.environment)
        self._emit("decided", **decision_facts(decision))
        if decision.action is DecisionAction.NOTHING:
            return self._outcome("nothing_to_do", "; ".join(decision.reasons)), None
        planned = plan(decision, findings, snapshot, self.policy, target=self.target)
        self._emit("planned", plan=as_json(planned))
        if planned.refused or not planned.actions:
            return self._escalate(planned.refused or "no action is known", _summaries(findings)), None
        if failure := self._act(planned):
            self._put_back(planned)
            return self._escalate(failure, _summaries(findings), failed=True), None
        return self._validated(decision)

    def _measured(self) -> Snapshot:
        """A full snapshot with an error rate, if one can be had: a rate needs two scrapes, silence needs probes."""
        snapshot = self.observer.observe(full=True)
        if snapshot.traffic.error_rate is None:
            self.stop.wait(self.policy.minimum_window_seconds)
            snapshot = self.observer.observe(full=True)
        return self.observer.with_probe_traffic(snapshot)

    def _act(self, planned: Plan) -> str:
        """Carry the plan out in order; returns what failed, or nothing."""
        for action in planned.actions:
            self._changes += action.changes_something
            if self._over():
                return f"{action.name} was not done: the time was over"
            if self._changes > self.policy.max_actions:
                return f"{action.name} was not done: more than {self.policy.max_actions} changes"
            result = self._perform(action)
            if not result.ok:
                return f"{action.name} failed: {result.detail}"
        return ""

    def _perform(self, action: PlannedAction) -> ActionResult:
        started = time.monotonic()
        result = self.actor.perform(action.action, stop=self.stop, deadline=self.deadline)
        done = {"action": action.name, "phase": action.phase.value, "command": action.command}
        outcome = {"detail": result.detail, "changed": result.changed}
        self._emit("acted", **done, **outcome, ok=result.ok, started_seconds=started)
        return result

    def _put_back(self, planned: Plan) -> None:
        """After a failure: what was changed only for the time of the rollout goes back all the same."""
        for action in planned.actions:
            if action.phase is Phase.SCALE and isinstance(action.action, PatchStrategy):
                self._perform(action)

    def _validated(self, decision: Decision) -> tuple[Outcome | None, Validation]:
        validator = Validator(self.observer, self.actor, self.policy, self._note)
        validation = validator.validate(stop=self.stop, deadline=self.deadline)
        facts = snapshot_facts(validation.snapshot)
        self._emit("validated", ok=validation.ok, unmet=list(validation.unmet), **facts)
        if not validation.ok:
            return None, validation
        summary = f"{decision.action.value}: {', '.join(f.cause.value for f in decision.findings)}"
        return self._outcome("repaired", summary), validation

    def _unfound(self, validation: Validation | None) -> Outcome:
        """Time is over or patience is rewarded: well, or not well for no cause that is known."""
        snapshot = self._look()
        problems = ["the cluster cannot be read"] if snapshot is None else list(unmet(snapshot, self.policy))
        if problems:
            return self._escalate("not healthy, and no cause was confirmed", problems)
        if validation is not None:
            return self._outcome("repaired", "it holds now, later than validation allowed")
        return self._outcome("nothing_to_do", "nothing was found to be wrong")

    def _unlocked(self) -> bool:
        """Wait while somebody else works on the release."""
        while not self._over():
            snapshot = self.observer.observe(full=True)
            if not any(f.cause is Cause.RELEASE_PENDING for f in diagnose(snapshot)):
                return True
            self.stop.wait(self.policy.poll_seconds)
        return False

    def _look(self) -> Snapshot | None:
        """A snapshot, or None when the cluster did not answer this time."""
        try:
            snapshot = self.observer.observe()
        except GamedayError as error:
            self._note_facts({"problem": str(error)})
            return None
        self._note(snapshot)
        return snapshot

    def _note(self, snapshot: Snapshot) -> None:
        self._note_facts(snapshot_facts(snapshot))

    def _note_facts(self, facts: Mapping[str, JsonValue]) -> None:
        """An `observed` event when something other than traffic numbers has changed."""
        changing = ("healthy", "stable", "desired", "registry", "missing", "problem")
        if [facts.get(k) for k in changing] != [self._last.get(k) for k in changing]:
            self._emit("observed", **facts)
        self._last = facts

    def _over(self) -> bool:
        return self.stop.is_set() or time.monotonic() >= self.deadline

    def _escalate(self, why: str, remains: Sequence[str] = (), *, failed: bool = False) -> Outcome:
        self._emit("escalated", why=why, remains=list(remains))
        return self._outcome("failed" if failed else "escalated", why, remains)

    def _outcome(self, status: OutcomeStatus, summary: str, remains: Sequence[str] = ()) -> Outcome:
        return Outcome(status, summary, tuple(self._events), tuple(remains))

    def _emit(self, name: EventName, **details: JsonValue) -> None:
        event = RemediationEvent(name, time.monotonic(), details)
        self._events.append(event)
        self.emit(event)


@dataclass
class RunbookRemediator:
    """The corrected runbook, executed.

    Args:
        kubeconfig, context: which cluster; None as kubectl has it.
        patience_seconds: give up watching when all has been well for so long; None watches until the deadline.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    policy: Policy = field(default_factory=Policy)
    patience_seconds: float | None = None

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome:
        """Watch the target and repair what the runbook knows, within `deadline_seconds` from now.

        Raises:
            InputError: the kubeconfig cannot be used.
        """
        started = time.monotonic()
        kube = KubeClient(self.kubeconfig, self.context)
        helm = HelmClient(target.namespace, self.kubeconfig, self.context)
        try:
            observer, actor = connect(kube, helm, target, self.policy)
            deadline = started + deadline_seconds
            remediation = Remediation(observer, actor, target, self.policy, emit, stop, deadline, self.patience_seconds)
            return remediation.run()
        finally:
            helm.close()
            kube.close()


def connect(kube: KubeClient, helm: HelmClient, target: Target, policy: Policy) -> tuple[Observer, Actor]:
    """An observer and an actor for a target, over HTTP."""
    registry = HttpRegistry(target.registry_url, target.registry_token) if target.registry_url else None
    observer = Observer(kube, target, policy, HttpCompletions(), registry)
    return observer, Actor(kube, helm, observer, target, policy, registry)


def _summaries(findings: Sequence[Finding]) -> list[str]:
    return [finding.summary for finding in findings]
