"""The router's metrics, turned into an error rate and a P95 latency over a window.

Counters are read per router pod and subtracted, so that a restarted pod (counters back at zero) and a new one are
counted for what they served.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client.parser import text_string_to_metric_families

from remediation.ports import Completion
from remediation.snapshot import Traffic

REQUESTS = "api_router_requests_total"
DURATION_BUCKET = "api_router_request_duration_seconds_bucket"
FAILURES = ("error", "stream_cut")
REFUSED = "refused"


@dataclass(frozen=True)
class Scrape:
    """One router pod's counters for one model: requests by outcome, and cumulative latency buckets by upper
    bound.
    """

    outcomes: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)


Scrapes = Mapping[str, Scrape]
Key = TypeVar("Key", str, float)


def parse(text: str, model: str) -> Scrape:
    """Read a metrics page.

    Raises:
        ValueError: if it is no metrics page.
    """
    outcomes: dict[str, float] = {}
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("model") != model:
                continue
            if sample.name == REQUESTS:
                outcome = sample.labels.get("outcome", "")
                outcomes[outcome] = outcomes.get(outcome, 0.0) + sample.value
            elif sample.name == DURATION_BUCKET:
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return Scrape(outcomes, buckets)


def between(before: Scrapes, after: Scrapes, window_seconds: float) -> Traffic:
    """What clients saw between two scrapes of all router pods (keyed by address)."""
    outcomes: dict[str, float] = {}
    buckets: dict[float, float] = {}
    for address, scrape in after.items():
        earlier = before.get(address, Scrape())
        _add(outcomes, earlier.outcomes, scrape.outcomes)
        _add(buckets, earlier.buckets, scrape.buckets)
    requests = round(sum(outcomes.values()))
    failures = round(sum(outcomes.get(name, 0.0) for name in FAILURES))
    if requests == 0:
        return Traffic(window_seconds=window_seconds, problem="no traffic in the window")
    return Traffic(
        requests=requests,
        failures=failures,
        refused=round(outcomes.get(REFUSED, 0.0)),
        error_rate=failures / requests,
        p95_seconds=quantile(0.95, buckets),
        window_seconds=window_seconds,
        source="router",
    )


def of_probes(answers: Sequence[Completion]) -> Traffic:
    """What own probe requests say when clients send none: failures count, successes do not prove 0 % errors."""
    failures = sum(answer.failed for answer in answers)
    return Traffic(
        requests=len(answers),
        failures=failures,
        refused=sum(answer.refused for answer in answers),
        error_rate=failures / len(answers) if failures else None,
        source="probe" if answers else "none",
        problem="no client traffic; probe requests were sent",
    )


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """Seconds, interpolated in its bucket as Prometheus does; the last finite bound when it lies above that."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0 or not math.isinf(bounds[-1]):
        return None
    rank, lower, below = q * total, 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below) if count > below else bound
        lower, below = bound, count
    return None


def _add(totals: dict[Key, float], before: Mapping[Key, float], after: Mapping[Key, float]) -> None:
    reset = any(after.get(key, 0.0) < value for key, value in before.items())
    for key, value in after.items():
        totals[key] = totals.get(key, 0.0) + value - (0.0 if reset else before.get(key, 0.0))
