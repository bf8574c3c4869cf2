"""What a scenario is judged on: samples, pod counts over time and marks, all on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from load.samples import Sample

MARKS = ("injected", "effect_seen", "detected", "decided", "acted", "healthy", "recovered")
"""The moments of a scenario, in their order."""


@dataclass(frozen=True, slots=True)
class PodCount:
    """How many pods of the deployment were Ready, and how many are wanted, from a moment on."""

    at_seconds: float
    ready: int
    desired: int

    @property
    def whole(self) -> bool:
        """Whether the deployment was at full strength. A deployment scaled to zero never is."""
        return 0 < self.desired <= self.ready

    @property
    def healthy_share(self) -> float | None:
        """Ready pods over wanted pods (0-1), None when none are wanted."""
        return min(self.ready / self.desired, 1.0) if self.desired else None


@dataclass(frozen=True, slots=True)
class Window:
    """What the clients saw in a stretch of time.

    ``error_ratio`` and ``latency_p95_seconds`` are None without requests: no data is never good.
    """

    requests: int
    failed: int
    refused: int
    error_ratio: float | None
    latency_p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class ScenarioEvidence:
    """Everything the judge sees of one scenario.

    Attributes:
        samples: requests whose intended start lies in the scenario, ordered by it.
        pods: pod counts, ordered by time.
        marks: moments by name (see MARKS); only what was seen.
        ended_seconds: until when evidence was taken.
        fault_expected: False for a scenario without a fault.
        desired_pods: how many pods the release had before the fault.
    """

    samples: Sequence[Sample]
    pods: Sequence[PodCount]
    marks: dict[str, float]
    started_seconds: float
    ended_seconds: float
    fault_expected: bool
    desired_pods: int
    notes: dict[str, str] = field(default_factory=dict)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile (share 0-1) of raw values; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def window(samples: Sequence[Sample]) -> Window:
    """Summarise samples. A refusal of a disabled model is no error, but it is counted (refused)."""
    answered = [sample.latency_seconds for sample in samples if sample.outcome == "ok"]
    failed = sum(sample.failed for sample in samples)
    return Window(
        requests=len(samples),
        failed=failed,
        refused=sum(sample.outcome == "refused" for sample in samples),
        error_ratio=failed / len(samples) if samples else None,
        latency_p95_seconds=percentile(answered, 0.95),
    )


def between(samples: Sequence[Sample], start_seconds: float, end_seconds: float) -> list[Sample]:
    """The samples whose intended start lies in [start, end)."""
    return [sample for sample in samples if start_seconds <= sample.intended_seconds < end_seconds]


def count_at(pods: Sequence[PodCount], moment_seconds: float) -> PodCount | None:
    """The pod count in force at a moment, None before the first."""
    known = [count for count in pods if count.at_seconds <= moment_seconds]
    return known[-1] if known else None
