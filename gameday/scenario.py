"""One scenario as it happens: steady state, injection, remediation, recovery, rollback, judgement."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clients.errors import DeadlineExceeded, GamedayError, OperationFailed
from gameday.evidence import ScenarioEvidence, Window, between, count_at, window
from gameday.experiment import ExperimentEvent, ExperimentRun, find_experiment
from gameday.judge import Judgement, Recovery, breach, find_recovery, judge
from gameday.safety import SafetyWatch
from gameday.session import GameDay
from remediation.model import Outcome, RemediationEvent

INJECT_SECONDS = 90.0
ROLLBACK_SECONDS = 120.0
STEADY_STATE_SECONDS = 45.0
MEASURE_SECONDS = 4.0
"""The window in which the harness measures the error rate at the time of the decision."""


class NothingProven(GamedayError):
    """The scenario cannot prove anything: its verdict is INVALID."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the harness itself measured when the remediation decided (ratios 0-1)."""

    healthy_share: float
    error_rate: float


@dataclass(slots=True)
class ScenarioRun:
    """A running scenario. The steps of a feature call its verbs; the judge reads its evidence."""

    day: GameDay
    feature: str
    name: str
    started_seconds: float = field(default_factory=time.monotonic)
    marks: dict[str, float] = field(default_factory=dict)
    remediation_events: list[RemediationEvent] = field(default_factory=list)
    outcome: Outcome | None = None
    release_revision: int = 0
    injected_revision: int = 0
    hit_pods: list[str] = field(default_factory=list)
    _experiment: ExperimentRun | None = None
    _desired: int = 0
    _stop_remediation: threading.Event = field(default_factory=threading.Event)
    _remediation_thread: threading.Thread | None = None
    _remediation_error: str = ""
    _safety: SafetyWatch | None = None

    def await_steady_state(self) -> None:
        """Wait until every pod is ready and the clients are well for the settling window.

        Raises NothingProven when that does not come true: nothing could be judged.
        """
        self._phase("steady state")
        slo = self.day.slo
        begin = time.monotonic()
        if not self.day.observer.wait_until(lambda count: count.whole, timeout_seconds=STEADY_STATE_SECONDS):
            raise NothingProven("the service was never in its steady state: not all pods became ready", where=self.name)

        def steady() -> bool:
            seen = self.day.load.last(slo.settling_window_seconds)
            return seen.requests >= slo.minimum_samples and not breach(seen, slo)

        if not self.day.load.wait_until(steady, timeout_seconds=STEADY_STATE_SECONDS):
            seen = self.day.load.last(slo.settling_window_seconds)
            reason = breach(seen, slo) or f"only {seen.requests} requests in the settling window"
            raise NothingProven(f"the service was never in its steady state: {reason}", where=self.name)
        self.day.forget_remediation()
        self._desired = self.day.observer.counts[-1].desired
        self.release_revision = self.day.release_revision()
        self.day.timeline.add("phase", "steady", scenario=self.name, waited_seconds=time.monotonic() - begin)

    def inject(self, experiment: str) -> None:
        """Run the experiment's method, whose last probe proves the effect of the fault.

        Raises NothingProven when the fault could not be injected or had no effect.
        """
        self._phase(f"inject {experiment}")
        journal = self.day.folder / f"journal-{self.day.slug(self.name)}.json"
        self._experiment = ExperimentRun(
            find_experiment(experiment), journal, self.day.experiment_environment(), self._on_experiment
        )
        self._experiment.start()
        try:
            ended = self._experiment.wait_for("method-ended", timeout_seconds=INJECT_SECONDS)
        except (OperationFailed, DeadlineExceeded) as error:
            raise NothingProven(f"the failure could not be injected: {error}", where=experiment) from error
        if not ended.detail["ok"] or "effect_seen" not in self.marks:
            raise NothingProven("the fault had no proven effect", where=experiment, remedy=f"see {journal.name}")
        self.injected_revision = self.day.release_revision()

    def remediate(self, *, timeout_seconds: float) -> Outcome:
        """Run the remediation until it is done or its time is up; returns what it says of itself."""
        self._phase("remediate")
        if self._safety is None:
            self._safety = SafetyWatch.begin(self.day, time.monotonic())
        self._remediation_thread = threading.Thread(target=self._remediate, args=(timeout_seconds,), name="remediation")
        self._remediation_thread.start()
        while self._remediation_thread.is_alive():
            self._remediation_thread.join(0.2)  # joined in short turns, so that a Ctrl-C is heard
        self._remediation_thread = None
        if self.outcome is None:
            raise AssertionError("the remediation broke: " + self._remediation_error)
        return self.outcome

    def await_recovery(self, *, within_seconds: float) -> Recovery:
        """Wait until the service has recovered and held for the settling window; returns the last finding."""
        self._phase("recover")
        slo = self.day.slo
        deadline = self.marks.get("injected", self.started_seconds) + within_seconds + slo.settling_window_seconds
        self.day.load.wait_until(lambda: self.recovery().settled, timeout_seconds=deadline - time.monotonic())
        recovery = self.recovery()
        if recovery.at_seconds is not None:
            self._mark("recovered", recovery.at_seconds)
        return recovery

    def recovery(self) -> Recovery:
        """The recovery as found in the evidence so far."""
        return find_recovery(self.evidence(), self.day.slo)

    def measured_at(self, moment_seconds: float) -> Measured:
        """What the harness measured at a moment, from its own pod watch and its own samples."""
        count = count_at(self.day.observer.counts, moment_seconds)
        if count is None or count.healthy_share is None:
            raise NothingProven("no pods were observed at the time of the decision", where=self.name)
        seen = self.window(moment_seconds - MEASURE_SECONDS, moment_seconds)
        if seen.error_ratio is None:
            raise NothingProven("no requests were recorded before the decision", where=self.name)
        return Measured(count.healthy_share, seen.error_ratio)

    def window(self, start_seconds: float, end_seconds: float) -> Window:
        """What the clients saw between two moments."""
        return window(between(self.day.load.since(start_seconds), start_seconds, end_seconds))

    def event(self, phase: str) -> RemediationEvent | None:
        """The last event of a phase that the remediation emitted."""
        return next((event for event in reversed(self.remediation_events) if event.name == phase), None)

    def found_causes(self) -> dict[str, set[str]]:
        """The causes that the remediation found, each with the pods that it named."""
        found: dict[str, set[str]] = {}
        for event in self.remediation_events:
            if event.name == "detected":
                findings: Any = event.details.get("findings")
                for finding in findings or []:
                    found.setdefault(finding["cause"], set()).update(finding["pods"])
        return found

    def decision(self) -> Mapping[str, Any]:
        """The first decision of the remediation. Raises AssertionError when it made none."""
        decided = next((event for event in self.remediation_events if event.name == "decided"), None)
        assert decided is not None, "the remediation made no decision"
        return decided.details

    def decision_summary(self) -> dict[str, Any]:
        """The decision as the report shows it; empty when there was none."""
        if self.event("decided") is None:
            return {}
        details = self.decision()
        cell = details.get("cell") or {}
        shown = {
            "decision": str(details.get("action", "")).replace("_", " "),
            "causes": ", ".join(details.get("causes") or []),
            "matrix": f"{cell.get('healthy_band')} healthy, {cell.get('error_band')} errors: {cell.get('verdict')}",
            "source": cell.get("source"),
            "runbook_row": details.get("quote"),
            "reasons": "; ".join(details.get("reasons") or []),
            "overrides": "; ".join(details.get("overrides") or []),
            "tree_disagrees": "; ".join(details.get("disagreements") or []),
        }
        return {key: value for key, value in shown.items() if value}

    def release_changes(self) -> dict[str, tuple[Any, Any]]:
        """What the remediation changed in the release's user values: dotted path -> (before, after)."""
        newest = self.day.stored_release()
        before = self.day.stored_release(self.injected_revision)
        return changed_paths(before.user_values, newest.user_values)

    def evidence(self) -> ScenarioEvidence:
        """Everything seen so far."""
        now = time.monotonic()
        return ScenarioEvidence(
            samples=self.day.load.since(self.started_seconds),
            pods=list(self.day.observer.counts),
            marks=dict(self.marks),
            started_seconds=self.started_seconds,
            ended_seconds=now,
            fault_expected=self._experiment is not None,
            desired_pods=self._desired,
        )

    def judged(self, failures: list[str]) -> Judgement:
        """The verdict on the evidence."""
        self._mark_healthy(self.evidence())
        return judge(self.evidence(), self.day.slo, [*failures, *self._unsafe()])

    def _unsafe(self) -> list[str]:
        """Where the remediation went beyond what any may do; its calls are kept."""
        if self._safety is None:
            return []
        self._safety.keep(self.day.folder / "calls.jsonl", self.name)
        found = self._safety.breaches()
        for breach_of_envelope in found:
            self.day.timeline.add("remediation", "unsafe", scenario=self.name, why=breach_of_envelope)
        return [f"unsafe: {each}" for each in found]

    def stop(self, *, interrupted: bool) -> None:
        """Stop the remediation and let the experiment roll back; waits until it has."""
        self._stop_remediation.set()
        if self._remediation_thread is not None:
            self._remediation_thread.join(timeout=30)
        if self._experiment is None or not self._experiment.running:
            return
        self._phase("roll back")
        if interrupted:
            self._experiment.abort()
        else:
            self._experiment.release()
        if not self._experiment.finish(timeout_seconds=ROLLBACK_SECONDS):
            self.day.timeline.add("experiment", "killed", scenario=self.name, reason="it did not end by itself")

    def _remediate(self, timeout_seconds: float) -> None:
        try:
            self.outcome = self.day.remediator.remediate(
                self.day.gate.through(self.day.remediation_target()),
                emit=self._on_remediation,
                stop=self._stop_remediation,
                deadline_seconds=timeout_seconds,
            )
        except Exception as error:  # a remediation that breaks is a finding about it, not a crash of the harness
            self._remediation_error = f"{type(error).__name__}: {error}"
            self.day.timeline.add("remediation", "broke", scenario=self.name, error=self._remediation_error)

    def _on_remediation(self, event: RemediationEvent) -> None:
        details = json.loads(self.day.gate.named_as_outside(json.dumps(event.details)))
        event = RemediationEvent(event.name, event.monotonic_seconds, details)
        self.remediation_events.append(event)
        self.day.timeline.add(
            "remediation", event.name, scenario=self.name, at_seconds=event.monotonic_seconds, **_renamed(event.details)
        )
        if event.name in ("detected", "decided"):
            self._mark(event.name, event.monotonic_seconds)
        elif event.name == "acted" and event.details.get("changed"):
            started: Any = event.details.get("started_seconds", event.monotonic_seconds)
            self._mark("acted", float(started))

    def _on_experiment(self, event: ExperimentEvent) -> None:
        self.day.timeline.add(
            "experiment", event.name, scenario=self.name, at_seconds=event.at_seconds, **_renamed(event.detail)
        )
        in_method = "rollbacks" not in self.marks
        if event.name == "rollbacks-started":
            self.marks["rollbacks"] = event.at_seconds
        if event.name == "method-started":
            self.marks["method"] = event.at_seconds
        if event.name == "activity-started" and event.detail["type"] == "action" and in_method:
            self._mark("injected", event.at_seconds)
        if event.name == "activity-ended" and event.detail["type"] == "probe" and "injected" in self.marks:
            proven = event.detail["status"] == "succeeded" and event.detail["tolerance_met"]
            if proven and in_method:
                self._mark("effect_seen", event.at_seconds)

    def _mark(self, name: str, at_seconds: float) -> None:
        if name not in self.marks or name == "recovered":
            self.marks[name] = at_seconds
            self.day.timeline.add("mark", name, scenario=self.name, at_seconds=at_seconds)

    def _mark_healthy(self, evidence: ScenarioEvidence) -> None:
        start = self.marks.get("acted")
        if start is None:
            return
        current = count_at(evidence.pods, start)
        later = [*([current] if current else []), *(c for c in evidence.pods if c.at_seconds > start)]
        whole = next((c for c in later if c.whole and c.ready >= self._desired), None)
        if whole is not None:
            self._mark("healthy", max(whole.at_seconds, start))

    def _phase(self, phase: str) -> None:
        self.day.timeline.add("phase", phase, scenario=self.name)
        self.day.progress.phase(phase)


def _renamed(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Details whose names the timeline uses for itself get another name."""
    taken = {"kind", "name", "scenario", "at_seconds"}
    return {(f"its_{key}" if key in taken else key): value for key, value in detail.items()}


def changed_paths(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted paths at which two values differ, each with the old and the new value."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found.update(changed_paths(before, after, f"{prefix}{key}."))
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found
