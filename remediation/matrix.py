"""The runbook's rollback decision matrix, made total: which decision a healthy share and an error rate get.

Its rows are data (`policy.yaml`). Loading proves that every point of the plane is in exactly one row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

from remediation.model import MatrixCell, Verdict

if TYPE_CHECKING:
    from remediation.policy import Policy

NOT_COVERED = "not covered by the runbook (extension: the stricter of healthy {} and errors {})"
_INTERVAL = re.compile(r"([\[(])\s*([0-9.]+)\s*,\s*([0-9.]+)\s*([\])])")


@dataclass(frozen=True)
class Interval:
    """A part of [0, 1]; each end belongs to it or not."""

    low: float
    high: float
    with_low: bool = True
    with_high: bool = False

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read `[0.25, 0.5)`.

        Raises:
            ValueError: it is no interval within [0, 1].
        """
        found = _INTERVAL.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no interval such as [0.25, 0.5)")
        opening, low, high, closing = found.groups()
        interval = cls(float(low), float(high), opening == "[", closing == "]")
        if not 0 <= interval.low <= interval.high <= 1:
            raise ValueError(f"{text!r} is not within [0, 1]")
        return interval

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.with_low else value > self.low
        below = value <= self.high if self.with_high else value < self.high
        return above and below

    def __str__(self) -> str:
        opening, closing = "[" if self.with_low else "(", "]" if self.with_high else ")"
        return f"{opening}{self.low:g}, {self.high:g}{closing}"

    @property
    def label(self) -> str:
        """As the runbook writes a band: `25-50%`, `< 5%`, `> 10%`."""
        if self.low == 0 and self.high < 0.25:
            return f"< {self.high:.0%}"
        if self.high == 1 and self.low < 0.25:
            return "any" if self.low == 0 else f"> {self.low:.0%}"
        return f"{self.low * 100:g}-{self.high:.0%}"


@dataclass(frozen=True)
class MatrixRow:
    """One decision for a rectangle of the plane. `quote` is the runbook's row; empty for an extension."""

    healthy: Interval
    errors: Interval
    verdict: Verdict
    quote: str = ""


def check_total(rows: Sequence[MatrixRow]) -> None:
    """Prove that every point of [0, 1] x [0, 1] is in exactly one row.

    Raises:
        ValueError: a gap or an overlap; the message names the cell.
    """
    for share, errors in product(_probes([r.healthy for r in rows]), _probes([r.errors for r in rows])):
        hits = [number for number, row in enumerate(rows, 1) if share[0] in row.healthy and errors[0] in row.errors]
        cell = f"healthy {share[1]}, errors {errors[1]}"
        if not hits:
            raise ValueError(f"no row covers the cell {cell}")
        if len(hits) > 1:
            raise ValueError(f"rows {' and '.join(map(str, hits))} both cover the cell {cell}")


def look_up(share: float, error_rate: float | None, p95_seconds: float | None, policy: Policy) -> MatrixCell:
    """The decision at a healthy share, an error rate and a P95 latency (seconds).

    An unknown error rate (None) counts as `unknown_error_rate_as`, and so does a latency that is over its limits.

    Raises:
        ValueError: for a share or a rate outside [0, 1].
    """
    _require_ratio("healthy share", share)
    if error_rate is not None:
        _require_ratio("error rate", error_rate)
    breached = latency_breached(p95_seconds, policy)
    raised = error_rate is None or (breached and error_rate < policy.unknown_error_rate_as)
    effective = policy.unknown_error_rate_as if raised or error_rate is None else error_rate
    row = next(row for row in policy.matrix_rows if share in row.healthy and effective in row.errors)
    healthy_band = _healthy_label(share, policy)
    error_band = "unknown" if error_rate is None else _error_label(effective, policy)
    any_errors = row.errors == Interval(0, 1, with_high=True)
    by_runbook = bool(row.quote) and (any_errors or not raised)
    why = " (raised by latency)" if raised and error_rate is not None else ""
    return MatrixCell(
        verdict=row.verdict,
        healthy_band=healthy_band,
        error_band=error_band,
        source="runbook" if by_runbook else "extension",
        quote=row.quote if by_runbook else NOT_COVERED.format(healthy_band, error_band + why),
        latency_breached=breached,
    )


def latency_breached(p95_seconds: float | None, policy: Policy) -> bool:
    """Whether P95 is over the absolute limit or over its multiple of the baseline."""
    if p95_seconds is None:
        return False
    limits = [policy.p95_limit_seconds]
    if policy.baseline_p95_seconds is not None:
        limits.append(policy.p95_baseline_factor * policy.baseline_p95_seconds)
    return p95_seconds > min(limits)


def _healthy_label(share: float, policy: Policy) -> str:
    return _narrowest([row.healthy for row in policy.matrix_rows], share).label


def _error_label(rate: float, policy: Policy) -> str:
    """The narrowest band of any row: a row for all error rates says less about what was measured."""
    return _narrowest([row.errors for row in policy.matrix_rows], rate).label


def _narrowest(intervals: Sequence[Interval], value: float) -> Interval:
    return min((i for i in intervals if value in i), key=lambda i: i.high - i.low)


def _probes(intervals: Sequence[Interval]) -> list[tuple[float, str]]:
    """A point of every piece that the ends of intervals cut [0, 1] into, each with its name."""
    ends = sorted({0.0, 1.0, *(end for i in intervals for end in (i.low, i.high))})
    points = [(end, f"{end:g}") for end in ends]
    between = [((a + b) / 2, f"({a:g}, {b:g})") for a, b in pairwise(ends)]
    return sorted(points + between)


def _require_ratio(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, not {value}")
