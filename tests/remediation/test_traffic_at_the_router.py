"""Counters of all router pods become one error rate and one P95; silence stays unknown."""

from __future__ import annotations

import math

import pytest

from remediation.ports import Completion
from remediation.traffic import Scrape, between, of_probes, parse, quantile

INF = math.inf


def scrape(**outcomes):
    return Scrape({name: float(value) for name, value in outcomes.items()})


def test_failures_are_errors_and_cut_streams_only():
    before = {"a": scrape(success=10), "b": scrape(success=5, error=1)}
    after = {"a": scrape(success=20, client_error=5, refused=5), "b": scrape(success=21, error=3, stream_cut=2)}
    seen = between(before, after, 10.0)
    assert (seen.requests, seen.failures, seen.refused) == (40, 4, 5)
    assert seen.error_rate == 0.1


def test_no_traffic_is_unknown_and_never_zero():
    same = {"a": scrape(success=10)}
    assert between(same, same, 10.0).error_rate is None


def test_a_restarted_router_pod_and_a_new_one_are_counted_from_zero():
    before = {"a": scrape(success=100, error=50)}
    after = {"a": scrape(success=4, error=1), "b": scrape(success=5)}
    assert between(before, after, 10.0).error_rate == 0.1


def test_only_the_models_own_series_are_read():
    text = """# TYPE api_router_requests_total counter
api_router_requests_total{model="llama-2-7b",outcome="success"} 3
api_router_requests_total{model="other",outcome="error"} 9
# TYPE api_router_request_duration_seconds histogram
api_router_request_duration_seconds_bucket{model="llama-2-7b",le="3.0"} 2
api_router_request_duration_seconds_bucket{model="llama-2-7b",le="+Inf"} 3
"""
    assert parse(text, "llama-2-7b") == Scrape({"success": 3.0}, {3.0: 2.0, INF: 3.0})


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({1.0: 100, 3.0: 100, INF: 100}, 0.95),
        ({1.0: 0, 3.0: 100, INF: 100}, 2.9),
        ({1.0: 90, 6.0: 90, INF: 100}, 6.0),
        ({1.0: 0, INF: 0}, None),
        ({}, None),
    ],
)
def test_p95_is_interpolated_and_never_below_what_is_known(buckets, expected):
    assert quantile(0.95, buckets) == (None if expected is None else pytest.approx(expected))


def test_probes_can_prove_failure_but_not_success():
    assert of_probes([Completion(200), Completion(200)]).error_rate is None
    assert of_probes([Completion(200), Completion(0)]).error_rate == 0.5
    assert of_probes([Completion(503, "MODEL_DISABLED")]).error_rate is None
    assert of_probes([Completion(404)]).failures == 0
