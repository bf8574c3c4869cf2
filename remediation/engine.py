"""The loop: observe, diagnose, decide, plan, act, validate; and its guard rails.

It watches until a finding is confirmed, acts once per round, and ends with an outcome. A remedy that does not hold is
followed by a rollback, if one can help, and that by a person: then nothing is touched any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from clients.errors import EnvironmentUnusable, GamedayError, InputError
from clients.helm import HelmClient
from clients.kube import KubeClient
from remediation.act import Actor
from remediation.actions.base import Action, ActionResult
from remediation.actions.workload import RestoreStrategy, ResumeAutoscaling
from remediation.decide import ROLLED_BACK, decide
from remediation.diagnose import bad_input
from remediation.http import HttpCompletions, HttpRegistry
from remediation.lease import Lease
from remediation.ledger import Ledger
from remediation.model import (
    Decision,
    DecisionAction,
    EventName,
    Finding,
    JsonValue,
    Outcome,
    OutcomeStatus,
    Phase,
    RemediationEvent,
    Target,
)
from remediation.observe import INSTANCE, Observer
from remediation.plan import plan, treated
from remediation.policy import Policy
from remediation.remedy import Plan, PlannedAction, Situation
from remediation.render import as_json, decision_facts, snapshot_facts
from remediation.rules.release import RELEASE_PENDING
from remediation.snapshot import Snapshot
from remediation.validate import Validation, Validator, unmet
from remediation.wakeups import WakeUps

Emit = Callable[[RemediationEvent], None]


class Remediator(Protocol):
    """Anything that repairs a target: the runbook's remediation, or a sabotaged one that a game day must catch."""

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome: ...


@dataclass
class Watch:
    """Which findings have lasted long enough to be acted on."""

    confirm_seconds: float
    _since: dict[str, float] = field(default_factory=dict)

    def confirmed(self, findings: Sequence[Finding], now: float) -> list[Finding]:
        """Findings to act on at `now` (monotonic seconds): proven ones at once, the others when they persist."""
        candidates = {f.cause: f for f in findings if f.confirmed and not f.symptom}
        self._since = {cause: self._since.get(cause, now) for cause in candidates}
        return [
            finding
            for cause, finding in candidates.items()
            if finding.proven or now - self._since[cause] >= self.confirm_seconds
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
    wakeups: WakeUps | None = None
    _events: list[RemediationEvent] = field(default_factory=list)
    _last: Mapping[str, JsonValue] = field(default_factory=dict)
    _tried: frozenset[str] = frozenset()

    def run(self) -> Outcome:
        """Rounds of watching and repairing until something ends it. What was changed for a time is put back."""
        try:
            outcome = self._rounds()
        finally:
            self._put_back()
        return replace(outcome, events=tuple(self._events))

    def _rounds(self) -> Outcome:
        validation: Validation | None = None
        failure, rounds = "", 0
        while rounds < self.policy.max_rounds:
            if not self._watch():
                return self._unfound(validation, failure)
            try:
                outcome, done, failure = self._round(failure)
            except InputError:
                raise
            except GamedayError as error:
                return self._escalate(str(error))
            if outcome is not None:
                return outcome
            if done is not None or failure:
                rounds, validation = rounds + 1, done
        remains = validation.unmet if validation else ()
        return self._escalate(failure or "the actions were done, but their effect does not hold", remains)

    def _watch(self) -> bool:
        """Observe until findings are confirmed; False when time is over, or all has been well for long enough."""
        watch = Watch(self.policy.confirm_seconds)
        well_since: float | None = None
        while not self._over():
            snapshot, now = self._look(), time.monotonic()
            if snapshot is not None:
                if watch.confirmed(self.observer.diagnose(snapshot), now):
                    return True
                well = not any(unmet(snapshot, self.policy, self.observer.rules))
                well_since = (well_since or now) if well else None
            if self._patience_rewarded(well_since, now):
                return False
            self._pause()
        return False

    def _pause(self) -> None:
        """Until something changes in the cluster, or it is time to ask what cannot be watched."""
        if self.wakeups is None:
            self.stop.wait(self.policy.poll_seconds)
        else:
            self.wakeups.wait(self.policy.poll_seconds)

    def _patience_rewarded(self, well_since: float | None, now: float) -> bool:
        if self.patience_seconds is None or well_since is None:
            return False
        return now - well_since >= self.patience_seconds

    def _round(self, failure: str) -> tuple[Outcome | None, Validation | None, str]:
        """Decide on fresh data, act, validate. Without an outcome, watching goes on.

        Args:
            failure: what went wrong in the round before; it decides how an escalation is called.
        """
        snapshot = self._measured()
        findings = self.observer.diagnose(snapshot)
        if not any(f.confirmed for f in findings):
            return None, None, failure
        self._emit("detected", findings=[as_json(f) for f in findings], **snapshot_facts(snapshot))
        situation = Situation(snapshot, self.policy, self.target, tuple(findings), self._tried)
        decision = decide(situation, self.observer.rules)
        if decision.action is DecisionAction.ESCALATE and _locked(findings):
            if self._unlocked():
                return None, None, failure
            return self._escalate("the Helm release stays locked", _summaries(findings)), None, ""
        self._emit("decided", **decision_facts(decision))
        if decision.action is DecisionAction.NOTHING:
            return self._outcome("nothing_to_do", "; ".join(decision.reasons)), None, ""
        planned = plan(decision, situation, self.observer.rules)
        self._emit("planned", plan=as_json(planned))
        if planned.refused or not planned.actions:
            why = planned.refused or "no action is known"
            if problem := bad_input(situation, self.observer.rules):
                return replace(self._escalate(problem, _summaries(findings)), bad_input=True), None, ""
            if failure:
                return self._escalate(f"{failure}; {why}", _summaries(findings), failed=True), None, ""
            return self._escalate(why, _summaries(findings)), None, ""
        self._tried |= {f.cause for f in treated(decision, situation, self.observer.rules)}
        self._tried |= {ROLLED_BACK} if decision.action.is_rollback else frozenset()
        if failed := self._act(planned):
            return None, None, failed
        return *self._validated(decision), ""

    def _measured(self) -> Snapshot:
        """A full snapshot with an error rate, if one can be had: a rate needs two scrapes, silence needs probes.

        Probes of a platform that hangs take long; what was seen before them is then seen anew.
        """
        snapshot = self.observer.observe(full=True)
        if snapshot.traffic.error_rate is None:
            self.stop.wait(self.policy.minimum_window_seconds)
            snapshot = self.observer.observe(full=True)
        snapshot = self.observer.with_probe_traffic(snapshot)
        if time.monotonic() - snapshot.taken_at <= self.policy.snapshot_max_age_seconds:
            return snapshot
        fresh = self.observer.observe(full=True)
        return fresh if fresh.traffic.error_rate is not None else replace(fresh, traffic=snapshot.traffic)

    def _act(self, planned: Plan) -> str:
        """Carry out a plan; why it was not carried out to its end, or empty."""
        for action in planned.actions:
            if self._over():
                return "stopped before " + action.name if self.stop.is_set() else "the time is over"
            result = self._perform(action)
            if not result.ok and action.phase is not Phase.VALIDATE:  # the validation waits for those
                return f"{action.name} failed: {result.detail}"
        return ""

    def _perform(self, action: PlannedAction) -> ActionResult:
        started = time.monotonic()
        result = self.actor.perform(action.action, stop=self.stop, deadline=self.deadline)
        done = {"action": action.name, "phase": action.phase.value, "command": action.command, "undo": action.undo}
        outcome = {"detail": result.detail, "changed": result.changed}
        self._emit("acted", **done, **outcome, ok=result.ok, started_seconds=started)
        return result

    def _put_back(self) -> None:
        """What was changed only for a time goes back, whoever changed it and however this ends."""
        try:
            snapshot = self.observer.observe(full=True)
        except GamedayError as error:
            self._note_facts({"problem": f"what was changed for a time may still be changed: {error}"})
            return
        for action in temporary_changes(snapshot):
            self._perform(PlannedAction(Phase.SCALE, action, "it was changed only for a time", ""))

    def _validated(self, decision: Decision) -> tuple[Outcome | None, Validation]:
        validation = self._validator().validate(stop=self.stop, deadline=self.deadline)
        facts = snapshot_facts(validation.snapshot)
        self._emit("validated", ok=validation.ok, unmet=list(validation.unmet), **facts)
        if not validation.ok:
            return None, validation
        summary = f"{decision.action.value}: {', '.join(f.cause for f in decision.findings)}"
        return self._outcome("repaired", summary), validation

    def _validator(self) -> Validator:
        return Validator(self.observer, self.actor, self.policy, self._note)

    def _unfound(self, validation: Validation | None, failure: str) -> Outcome:
        """Time is over or patience is rewarded: well, or not well for no cause that is known."""
        snapshot = self._look()
        problems: Sequence[str] = ["the cluster cannot be read"]
        if snapshot is not None:
            problems = tuple(unmet(snapshot, self.policy, self.observer.rules))
        if not problems and (validation is not None or failure):  # something was done: it must be proven to hold
            problems = self._validator().validate(stop=self.stop, deadline=time.monotonic()).unmet
        if problems:
            why = failure or "not healthy, and no cause was confirmed"
            return self._escalate(why, problems, failed=bool(failure))
        if validation is not None or failure:
            return self._outcome("repaired", "it holds now, later than validation allowed")
        return self._outcome("nothing_to_do", "nothing was found to be wrong")

    def _unlocked(self) -> bool:
        """Wait while somebody else works on the release."""
        while not self._over():
            if not _locked(self.observer.diagnose(self.observer.observe(full=True))):
                return True
            self._pause()
        return False

    def _look(self) -> Snapshot | None:
        """A snapshot, or None when the cluster did not answer this time."""
        try:
            snapshot = self.observer.observe()
        except InputError:
            raise  # what we were given cannot be used: looking again does not help
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
        deadline = time.monotonic() + deadline_seconds
        kube = KubeClient(self.kubeconfig, self.context)
        helm = HelmClient(target.namespace, self.kubeconfig, self.context)
        lease = Lease(kube, target.namespace, target.release, self.policy.lease_seconds, stop.set)
        wakeups = WakeUps(kube, target.namespace, INSTANCE.format(target.release))
        try:
            check_clocks(kube, self.policy)
            if not lease.acquire(stop, deadline):
                return _somebody_else(lease, emit)
            wakeups.start()
            observer, actor = connect(kube, helm, target, self.policy)
            patience = self.patience_seconds
            remediation = Remediation(observer, actor, target, self.policy, emit, stop, deadline, patience, wakeups)
            return remediation.run()
        finally:
            wakeups.stop()
            lease.release_it()
            helm.close()
            kube.close()


def connect(kube: KubeClient, helm: HelmClient, target: Target, policy: Policy) -> tuple[Observer, Actor]:
    """An observer and an actor for a target, over HTTP."""
    registry = HttpRegistry(target.registry_url, target.registry_token) if target.registry_url else None
    observer = Observer(kube, target, policy, HttpCompletions(), registry)
    ledger = Ledger(kube, target.namespace, target.release, policy)
    return observer, Actor(kube, helm, observer, target, policy, registry, ledger)


def check_clocks(kube: KubeClient, policy: Policy) -> None:
    """Ages are differences of two clocks: refuse to judge any when they disagree.

    Raises:
        EnvironmentUnusable: this machine's clock and the cluster's differ by more than the policy allows.
    """
    ahead_seconds = kube.clock_ahead_seconds()
    if abs(ahead_seconds) <= policy.clock_difference_seconds:
        return
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    problem = f"this machine's clock is {abs(ahead_seconds):.0f} s {direction} the cluster's"
    remedy = "set the clocks right: how long pods have been ready cannot be judged"
    raise EnvironmentUnusable(problem, where=kube.server, remedy=remedy)


def temporary_changes(snapshot: Snapshot) -> tuple[Action, ...]:
    """What puts back whatever a remediation, this or an earlier one, had changed only for a time. Pure."""
    deployment = snapshot.deployment
    strategies = (RestoreStrategy(deployment.name),) if deployment and deployment.strategy_changed_by_us else ()
    return (*strategies, *(ResumeAutoscaling(each.name) for each in snapshot.autoscalers if each.paused_by_us))


def _somebody_else(lease: Lease, emit: Emit) -> Outcome:
    why = f"another remediation works on the release (Lease {lease.namespace}/{lease.name})"
    event = RemediationEvent("escalated", time.monotonic(), {"why": why, "remains": []})
    emit(event)
    return Outcome("escalated", why, (event,))


def _locked(findings: Sequence[Finding]) -> bool:
    return any(f.cause == RELEASE_PENDING for f in findings)


def _summaries(findings: Sequence[Finding]) -> list[str]:
    return [finding.summary for finding in findings]
