"""Whether requests start when the schedule says, while the whole platform runs on the same machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.platform import installed_platform, registered, scratch
from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median, percentile, share_within
from clients.errors import OperationFailed
from gameday.load_driver import LoadDriver
from load.profile import LoadProfile
from load.samples import Sample
from remediation.model import Target as RemediationTarget

RATE_PER_SECOND, WINDOW_SECONDS, LIMIT_SECONDS = 50.0, 20.0, 0.02


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How well a schedule was kept. Lags are seconds, shares 0-1.

    Attributes:
        offered: requests of the schedule, whether or not they have a sample.
        punctual: share of the offered that started within the limit; a request without a sample is late.
        succeeded: share of the offered that were answered well.
    """

    offered: int
    punctual: float
    succeeded: float
    lag_p50: float
    lag_p99: float
    lag_max: float
    outcomes: dict[str, int]


def fidelity(samples: Sequence[Sample], limit_seconds: float = LIMIT_SECONDS) -> Fidelity:
    """Judge the samples of a run by their numbers in the schedule. Raises ValueError when there are none."""
    lags = [sample.lag_seconds for sample in samples]
    offered = max((sample.number for sample in samples), default=-1) + 1
    outcomes: Counter[str] = Counter(sample.outcome for sample in samples)
    return Fidelity(
        offered=offered,
        punctual=share_within(lags, limit_seconds, expected=offered),
        succeeded=outcomes["ok"] / offered,
        lag_p50=percentile(lags, 0.5),
        lag_p99=percentile(lags, 0.99),
        lag_max=max(lags),
        outcomes=dict(outcomes),
    )


def measure(runs: int) -> list[Result]:
    """Offer load several times to one platform. Raises OperationFailed when too few requests were offered."""
    with installed_platform() as platform:
        target = registered(platform)
        found = [_offer(target) for _ in range(runs)]
    outcomes = sum((Counter(one.outcomes) for one in found), Counter[str]())
    lags = [median([getattr(one, name) * 1000 for one in found]) for name in ("lag_p50", "lag_p99", "lag_max")]
    return [
        Result(
            f"requests started within {LIMIT_SECONDS * 1000:g} ms at {RATE_PER_SECOND:g}/s",
            "%",
            tuple(one.punctual * 100 for one in found),
            Target("at least", 99.0),
            details=(
                f"lag P50 {lags[0]:.2f} ms, P99 {lags[1]:.2f} ms, maximum {lags[2]:.1f} ms (medians of the runs)",
                f"{sum(one.offered for one in found)} requests: "
                + ", ".join(f"{count} {name}" for name, count in outcomes.most_common()),
            ),
        )
    ]


def _offer(target: RemediationTarget) -> Fidelity:
    with scratch() as folder:
        found = fidelity(_samples(target, folder))
    if found.offered < 0.8 * RATE_PER_SECOND * WINDOW_SECONDS:
        raise OperationFailed(f"only {found.offered} requests were offered: {found.outcomes}", where="load.runner")
    return found


def _samples(target: RemediationTarget, folder: Path) -> list[Sample]:
    profile = LoadProfile(rate_per_second=RATE_PER_SECOND)
    driver = LoadDriver(target.router_url, target.api_key, folder / "samples.jsonl", profile)
    driver.start()
    try:
        if not driver.wait_until(lambda: bool(driver.samples), timeout_seconds=20):
            raise OperationFailed("no request was answered within 20 s", where="load.runner")
        end = time.monotonic() + WINDOW_SECONDS
        driver.wait_until(lambda: time.monotonic() >= end, timeout_seconds=WINDOW_SECONDS + 5)
    finally:
        driver.stop()
    return driver.samples


BENCHMARK = Benchmark(
    "load-fidelity",
    f"Poisson arrivals of {RATE_PER_SECOND:g} requests/s for {WINDOW_SECONDS:g} s, half of them streams, through the "
    "router to 3 model servers on the same machine; a request that left no sample counts as late",
    3,
    measure,
)
