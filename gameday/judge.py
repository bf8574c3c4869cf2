"""Was the service well again, and was the test worth anything? Pure functions from evidence to a verdict.

Verdicts fail closed: no data is never good, a fault without effect proves nothing, a load generator that fell behind
makes the run INVALID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from gameday.evidence import PodCount, ScenarioEvidence, Window, between, count_at, window
from gameday.slo import Slo
from load.samples import Sample


class Verdict(StrEnum):
    """What a scenario proved."""

    PASS = "PASS"  # noqa: S105  (a verdict, not a password)
    FAIL = "FAIL"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons, and the numbers behind it (seconds, counts)."""

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Recovery:
    """The search for the moment from which the service stayed well.

    Attributes:
        at_seconds: that moment, None when there is none yet.
        settled: whether it held for the settling window, with enough samples.
        missing: what kept the service from being called well, for people.
    """

    at_seconds: float | None
    settled: bool
    missing: str


def find_recovery(evidence: ScenarioEvidence, slo: Slo) -> Recovery:
    """The first moment from which the objectives held until the end of the evidence.

    Recovery is a fact of the samples and the pods, not the moment the remediation says so: every pod wanted before the
    fault is Ready, no request is refused, and errors and P95 are within the objectives.
    """
    start = evidence.marks.get("effect_seen", evidence.marks.get("injected", evidence.started_seconds))
    for moment in _candidates(evidence, start):
        if _broken_pods(evidence, moment) or _breach(
            window(between(evidence.samples, moment, evidence.ended_seconds)), slo
        ):
            continue
        return _settled(evidence, moment, slo)
    last = window(
        between(evidence.samples, evidence.ended_seconds - slo.settling_window_seconds, evidence.ended_seconds)
    )
    return Recovery(None, False, _broken_pods(evidence, evidence.ended_seconds) or _breach(last, slo) or "no samples")


def judge(evidence: ScenarioEvidence, slo: Slo, failures: Sequence[str] = ()) -> Judgement:
    """The verdict of a scenario.

    Args:
        failures: claims of the feature that did not hold, in words.
    """
    recovery = find_recovery(evidence, slo)
    numbers = _numbers(evidence, recovery)
    invalid = _why_invalid(evidence, slo)
    if invalid:
        return Judgement(Verdict.INVALID, (*invalid, *failures), numbers)
    if failures:
        return Judgement(Verdict.FAIL, tuple(failures), numbers)
    if recovery.at_seconds is None:
        return Judgement(Verdict.FAIL, (f"the service did not recover: {recovery.missing}",), numbers)
    took = numbers["recovery_seconds"]
    if took is not None and took > slo.recovery_seconds:
        reason = f"recovered after {took:.1f} s, allowed are {slo.recovery_seconds:.0f} s"
        return Judgement(Verdict.FAIL, (reason,), numbers)
    if not recovery.settled:
        return Judgement(Verdict.INCONCLUSIVE, (recovery.missing,), numbers)
    return Judgement(Verdict.PASS, ("recovered and held the objectives",), numbers)


def on_time_ratio(samples: Sequence[Sample], lag_seconds: float) -> float | None:
    """The share (0-1) of requests that started within ``lag_seconds`` of when they should; None without requests."""
    if not samples:
        return None
    return sum(sample.lag_seconds <= lag_seconds for sample in samples) / len(samples)


def breach(seen: Window, slo: Slo) -> str:
    """Why a window breaks the objectives, in words; empty when it does not. No requests is a breach."""
    return _breach(seen, slo)


def _why_invalid(evidence: ScenarioEvidence, slo: Slo) -> list[str]:
    reasons = []
    if evidence.fault_expected and "effect_seen" not in evidence.marks:
        reasons.append("the fault had no proven effect")
    on_time = on_time_ratio(evidence.samples, slo.load_lag_seconds)
    if on_time is None:
        reasons.append("no request was recorded")
    elif on_time < slo.load_on_time_ratio:
        reasons.append(
            f"the load generator fell behind: {on_time:.1%} of the requests started within "
            f"{slo.load_lag_seconds * 1000:.0f} ms, needed are {slo.load_on_time_ratio:.0%}"
        )
    if not evidence.pods:
        reasons.append("no pod was observed")
    return reasons


def _candidates(evidence: ScenarioEvidence, start: float) -> list[float]:
    ordered = sorted(evidence.samples, key=lambda s: s.intended_seconds)
    bad = [after.intended_seconds for s, after in pairwise(ordered) if s.outcome != "ok"]
    pods = [count.at_seconds for count in evidence.pods]
    slow = [s.ended_seconds for s in evidence.samples if s.outcome == "ok" and s.latency_seconds > 1.0]
    moments = {start, *(m for m in (*bad, *pods, *slow) if start < m < evidence.ended_seconds)}
    return sorted(moments)


def _broken_pods(evidence: ScenarioEvidence, moment: float) -> str:
    """Why the deployment was not at full strength from a moment on; empty when it was."""
    relevant: list[PodCount] = [count for count in evidence.pods if count.at_seconds > moment]
    current = count_at(evidence.pods, moment)
    if current is None:
        return "no pod was observed"
    for count in (current, *relevant):
        if not count.whole or count.ready < evidence.desired_pods:
            return f"{count.ready} of {max(count.desired, evidence.desired_pods)} pods ready"
    return ""


def _breach(seen: Window, slo: Slo) -> str:
    if not seen.requests or seen.error_ratio is None:
        return "no requests"
    if seen.refused:
        return f"{seen.refused} of {seen.requests} requests were refused because the model is disabled"
    if seen.error_ratio > slo.error_ratio:
        return f"error ratio {seen.error_ratio:.2%}, allowed {slo.error_ratio:.2%} ({seen.failed} of {seen.requests})"
    if seen.latency_p95_seconds is None or seen.latency_p95_seconds > slo.latency_p95_seconds:
        return f"P95 latency {seen.latency_p95_seconds} s, allowed {slo.latency_p95_seconds} s"
    return ""


def _settled(evidence: ScenarioEvidence, moment: float, slo: Slo) -> Recovery:
    held = evidence.ended_seconds - moment
    requests = len(between(evidence.samples, moment, evidence.ended_seconds))
    if held < slo.settling_window_seconds:
        missing = f"held for {held:.1f} s, the settling window is {slo.settling_window_seconds:.1f} s"
    elif requests < slo.minimum_samples:
        missing = f"{requests} requests since then, {slo.minimum_samples} are needed"
    else:
        return Recovery(moment, True, "")
    return Recovery(moment, False, missing)


def _numbers(evidence: ScenarioEvidence, recovery: Recovery) -> dict[str, float | None]:
    marks = {**evidence.marks}
    if recovery.at_seconds is not None:
        marks["recovered"] = recovery.at_seconds
    injected = marks.get("injected")

    def since_injection(name: str) -> float | None:
        return None if injected is None or name not in marks else marks[name] - injected

    during = window(between(evidence.samples, injected or evidence.started_seconds, evidence.ended_seconds))
    return {
        "effect_seen_seconds": since_injection("effect_seen"),
        "detected_seconds": since_injection("detected"),
        "decided_seconds": since_injection("decided"),
        "acted_seconds": since_injection("acted"),
        "healthy_seconds": since_injection("healthy"),
        "recovery_seconds": since_injection("recovered"),
        "requests": during.requests,
        "failed": during.failed,
        "refused": during.refused,
        "error_ratio": during.error_ratio,
        "latency_p95_seconds": during.latency_p95_seconds,
        "lowest_ready_pods": min((c.ready for c in evidence.pods if c.at_seconds >= (injected or 0.0)), default=None),
    }
