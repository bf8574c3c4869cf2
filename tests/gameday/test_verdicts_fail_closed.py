"""The judge: no data is never good, and recovery is a fact found in the samples."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.evidence import PodCount, ScenarioEvidence, percentile
from gameday.judge import Verdict, find_recovery, judge
from gameday.slo import Slo
from load.samples import Outcome, Sample

SLO = Slo(
    latency_p95_seconds=3.0,
    error_ratio=0.001,
    recovery_seconds=60,
    settling_window_seconds=4,
    minimum_samples=20,
    load_lag_seconds=0.1,
    load_on_time_ratio=0.99,
)


def sample(at: float, outcome: Outcome = "ok", *, latency: float = 0.1, lag: float = 0.0) -> Sample:
    return Sample(0, "chat", False, at, at + lag, at + latency, at + latency, 200, outcome)


def evidence(**changes: object) -> ScenarioEvidence:
    """Pods 2 of 3 ready from 10 s to 20 s, requests refused from 12 s to 18 s, all well until 40 s."""
    base = ScenarioEvidence(
        samples=[sample(t / 10, "refused" if 120 <= t < 180 else "ok") for t in range(400)],
        pods=[PodCount(0, 3, 3), PodCount(10, 2, 3), PodCount(20, 3, 3)],
        marks={"injected": 9.0, "effect_seen": 11.0},
        started_seconds=0.0,
        ended_seconds=40.0,
        fault_expected=True,
        desired_pods=3,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_recovery_is_the_moment_from_which_pods_and_clients_stay_well() -> None:
    assert find_recovery(evidence(), SLO).at_seconds == 20
    judgement = judge(evidence(), SLO)
    assert judgement.verdict is Verdict.PASS
    assert judgement.numbers["recovery_seconds"] == 11


def test_a_fault_without_proven_effect_is_invalid_although_all_is_well() -> None:
    assert judge(evidence(marks={"injected": 9.0}), SLO).verdict is Verdict.INVALID


def test_no_samples_are_invalid() -> None:
    assert judge(evidence(samples=[]), SLO).verdict is Verdict.INVALID


def test_no_observed_pods_are_invalid() -> None:
    assert judge(evidence(pods=[]), SLO).verdict is Verdict.INVALID


def test_a_lagging_load_generator_makes_the_run_invalid() -> None:
    late = [sample(t / 10, lag=0.5 if t % 20 == 0 else 0.0) for t in range(400)]
    judgement = judge(evidence(samples=late), SLO)
    assert judgement.verdict is Verdict.INVALID
    assert "fell behind" in judgement.reasons[0]


def test_requests_still_refused_at_the_end_fail() -> None:
    refused = [sample(t / 10, "refused" if t >= 120 else "ok") for t in range(400)]
    assert judge(evidence(samples=refused), SLO).verdict is Verdict.FAIL


def test_a_pod_short_of_full_strength_fails_although_every_request_is_answered() -> None:
    pods = [PodCount(0, 3, 3), PodCount(10, 2, 3)]
    judgement = judge(evidence(pods=pods, samples=[sample(t / 10) for t in range(400)]), SLO)
    assert judgement.verdict is Verdict.FAIL
    assert "2 of 3 pods ready" in judgement.reasons[0]


def test_scaling_the_deployment_down_is_no_recovery() -> None:
    for count in (0, 2):
        pods = [PodCount(0, 3, 3), PodCount(10, 2, 3), PodCount(20, count, count)]
        assert judge(evidence(pods=pods), SLO).verdict is Verdict.FAIL


def test_a_slow_service_fails() -> None:
    slow = [sample(t / 10, latency=3.5 if t >= 120 else 0.1) for t in range(400)]
    assert judge(evidence(samples=slow), SLO).verdict is Verdict.FAIL


def test_too_short_a_time_after_recovery_is_inconclusive() -> None:
    assert judge(evidence(ended_seconds=23.0), SLO).verdict is Verdict.INCONCLUSIVE


def test_too_few_samples_after_recovery_are_inconclusive() -> None:
    few = [sample(float(t)) for t in range(0, 40, 3)]
    assert judge(evidence(samples=few), SLO).verdict is Verdict.INCONCLUSIVE


def test_a_recovery_past_its_deadline_fails() -> None:
    slo = SLO.model_copy(update={"recovery_seconds": 5})
    assert judge(evidence(), slo).verdict is Verdict.FAIL


def test_a_claim_that_did_not_hold_fails() -> None:
    assert judge(evidence(), SLO, ["the decision was wrong"]).verdict is Verdict.FAIL


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), st.floats(0.01, 1))
def test_a_percentile_has_at_least_its_share_of_values_at_or_below_it(values: list[float], share: float) -> None:
    result = percentile(values, share)
    assert result is not None
    assert sum(value <= result for value in values) >= share * len(values) - 1e-9
    assert sum(value < result for value in values) < share * len(values) + 1e-9


def test_a_percentile_of_nothing_is_unknown() -> None:
    assert percentile([], 0.95) is None


@pytest.mark.parametrize("ended", [12.0, 15.0, 19.9])
def test_while_the_fault_lasts_there_is_no_recovery(ended: float) -> None:
    samples = [s for s in evidence().samples if s.intended_seconds < ended]
    pods = [count for count in evidence().pods if count.at_seconds < ended]
    assert find_recovery(evidence(ended_seconds=ended, samples=samples, pods=pods), SLO).at_seconds is None
