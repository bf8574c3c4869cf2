"""The decision matrix has one decision for everything that can be measured, and the runbook's rows keep theirs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediation.matrix import look_up
from remediation.model import Verdict
from remediation.policy import Policy

POLICY = Policy(baseline_p95_seconds=1.0)
BOUNDARIES = [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0]
EDGES = sorted({edge for b in BOUNDARIES for edge in (b, math.nextafter(b, 0), math.nextafter(b, 1))})
ratios = st.floats(0, 1) | st.sampled_from(EDGES)
latencies = st.none() | st.floats(0, 60) | st.sampled_from([2.0, 6.0])


def verdict(share: float, errors: float | None, p95: float | None = None) -> Verdict:
    return look_up(share, errors, p95, POLICY).verdict


@given(ratios, st.none() | ratios, latencies)
def test_every_measurement_has_a_decision_that_names_its_source(share, errors, p95):
    cell = look_up(share, errors, p95, POLICY)
    assert cell.verdict in Verdict
    assert (cell.source == "extension") == ("not covered by the runbook" in cell.quote)


@given(ratios, ratios, ratios, ratios, latencies)
def test_fewer_healthy_pods_or_more_errors_never_give_a_laxer_decision(a, b, e, f, p95):
    low, high = sorted((a, b))
    few, many = sorted((e, f))
    assert verdict(low, many, p95) >= verdict(high, few, p95)


@given(ratios, st.none() | ratios, st.floats(0, 60), st.floats(0, 60))
def test_slower_answers_never_give_a_laxer_decision(share, errors, a, b):
    fast, slow = sorted((a, b))
    assert verdict(share, errors, slow) >= verdict(share, errors, fast) >= verdict(share, errors)


@given(ratios)
def test_an_unknown_error_rate_is_neither_zero_nor_hundred_percent(share):
    assert verdict(share, 0.0) <= verdict(share, None) <= verdict(share, 1.0)
    assert look_up(share, None, None, POLICY).error_band == "unknown"


@pytest.mark.parametrize(
    ("share", "errors", "expected"),
    [
        (0.0, 0.0, Verdict.IMMEDIATE_ROLLBACK),
        (0.24, None, Verdict.IMMEDIATE_ROLLBACK),
        (0.3, 0.11, Verdict.ROLLBACK),
        (0.6, 0.07, Verdict.FIX_FORWARD_MONITORED),
        (0.9, 0.01, Verdict.FIX_FORWARD),
    ],
)
def test_the_four_rows_of_the_runbook_keep_their_decisions(share, errors, expected):
    cell = look_up(share, errors, None, POLICY)
    assert (cell.verdict, cell.source) == (expected, "runbook")


@pytest.mark.parametrize(
    ("share", "errors", "expected", "source"),
    [
        (0.25, 0.2, Verdict.ROLLBACK, "runbook"),
        (0.5, 0.05, Verdict.FIX_FORWARD_MONITORED, "runbook"),
        (0.5, 0.1, Verdict.FIX_FORWARD_MONITORED, "runbook"),
        (0.5, math.nextafter(0.1, 1), Verdict.ROLLBACK, "extension"),
        (0.75, 0.0, Verdict.FIX_FORWARD, "runbook"),
        (0.75, 0.05, Verdict.FIX_FORWARD_MONITORED, "extension"),
        (0.4, 0.0, Verdict.ROLLBACK, "extension"),
        (0.6, 0.4, Verdict.ROLLBACK, "extension"),
        (0.6, 0.0, Verdict.FIX_FORWARD_MONITORED, "extension"),
        (1.0, 0.6, Verdict.ROLLBACK, "extension"),
    ],
)
def test_boundaries_belong_to_the_upper_healthy_band_and_the_inner_error_band(share, errors, expected, source):
    cell = look_up(share, errors, None, POLICY)
    assert (cell.verdict, cell.source) == (expected, source)


@pytest.mark.parametrize(("p95", "expected"), [(2.0, "< 5%"), (2.001, "5-10%"), (6.5, "5-10%")])
def test_latency_counts_as_the_middle_error_band(p95, expected):
    cell = look_up(1.0, 0.0, p95, POLICY)
    assert cell.error_band == expected
    assert cell.latency_breached == (p95 > 2.0)


def test_without_a_baseline_only_the_absolute_limit_counts():
    assert not look_up(1.0, 0.0, 6.0, Policy()).latency_breached
    assert look_up(1.0, 0.0, 6.01, Policy()).latency_breached


SMALL_FLEETS = {
    1: "IF",
    2: "IMF",
    3: "IRMF",
    4: "IRMFF",
    5: "IIRMFF",
    6: "IIRMMFF",
    7: "IIRRMMFF",
    8: "IIRRMMFFF",
}


@pytest.mark.parametrize("replicas", SMALL_FLEETS)
def test_small_fleets_without_errors(replicas):
    letters = {
        "I": Verdict.IMMEDIATE_ROLLBACK,
        "R": Verdict.ROLLBACK,
        "M": Verdict.FIX_FORWARD_MONITORED,
        "F": Verdict.FIX_FORWARD,
    }
    row = [verdict(healthy / replicas, 0.0) for healthy in range(replicas + 1)]
    assert row == [letters[letter] for letter in SMALL_FLEETS[replicas]]


@pytest.mark.parametrize(("requests", "failures"), [(n * 20, n) for n in range(1, 60, 7)])
def test_exactly_five_and_ten_percent_of_any_number_of_requests_are_in_the_middle_band(requests, failures):
    for rate in (failures / requests, 2 * failures / requests):
        assert look_up(1.0, rate, None, POLICY).error_band == "5-10%"


@pytest.mark.parametrize(("share", "errors"), [(-0.1, 0.0), (1.1, 0.0), (1.0, -0.1), (1.0, math.nan), (math.nan, 0.0)])
def test_what_is_no_ratio_is_refused(share, errors):
    with pytest.raises(ValueError, match="between 0 and 1"):
        look_up(share, errors, None, POLICY)
