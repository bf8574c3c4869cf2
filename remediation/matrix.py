"""The runbook's rollback decision matrix, made total.

The runbook has four rows and leaves most of the plane undefined. Here every healthy share and every error rate has
one decision: intervals are half-open (healthy [0,25) [25,50) [50,75) [75,100], errors [0,5) [5,10] (10,100]); a
cell takes the stricter of what its two bands say. The runbook's rows keep their decisions; all other cells are
labelled "extension".
"""

from __future__ import annotations

from dataclasses import dataclass

from remediation.model import MatrixCell, Verdict
from remediation.policy import Policy


@dataclass(frozen=True)
class Band:
    """An interval of one input and what it says on its own."""

    label: str
    verdict: Verdict


HEALTHY_CRITICAL = Band("0-25%", Verdict.IMMEDIATE_ROLLBACK)
HEALTHY_LOW = Band("25-50%", Verdict.ROLLBACK)
HEALTHY_REDUCED = Band("50-75%", Verdict.FIX_FORWARD_MONITORED)
HEALTHY_GOOD = Band("75-100%", Verdict.FIX_FORWARD)

ERRORS_FEW = Band("< 5%", Verdict.FIX_FORWARD)
ERRORS_SOME = Band("5-10%", Verdict.FIX_FORWARD_MONITORED)
ERRORS_MANY = Band("> 10%", Verdict.ROLLBACK)
ERRORS_UNKNOWN = Band("unknown", Verdict.FIX_FORWARD_MONITORED)

RUNBOOK_ROWS = {
    (HEALTHY_LOW, ERRORS_MANY): "25-50% healthy | 25-50% | > 10% | Rollback recommended",
    (HEALTHY_REDUCED, ERRORS_SOME): "50-75% healthy | 50-75% | 5-10% | Fix forward with monitoring",
    (HEALTHY_GOOD, ERRORS_FEW): "> 75% healthy | > 75% | < 5% | Fix forward, investigate failures",
}
CRITICAL_ROW = "< 25% healthy | 0-25% | Any | Immediate rollback"
NOT_COVERED = "not covered by the runbook (extension: the stricter of healthy {} and errors {})"


def healthy_band(share: float) -> Band:
    """The band of a healthy share (ratio 0-1).

    Raises:
        ValueError: outside [0, 1], or not a number.
    """
    _require_ratio("healthy share", share)
    if share < 0.25:
        return HEALTHY_CRITICAL
    if share < 0.5:
        return HEALTHY_LOW
    return HEALTHY_REDUCED if share < 0.75 else HEALTHY_GOOD


def error_band(rate: float | None) -> Band:
    """The band of an error rate (ratio 0-1); None is unknown, which is a band of its own and never "few"."""
    if rate is None:
        return ERRORS_UNKNOWN
    _require_ratio("error rate", rate)
    if rate < 0.05:
        return ERRORS_FEW
    return ERRORS_SOME if rate <= 0.1 else ERRORS_MANY


def latency_breached(p95_seconds: float | None, policy: Policy) -> bool:
    """Whether P95 is over the absolute limit or over its multiple of the baseline."""
    if p95_seconds is None:
        return False
    limits = [policy.p95_limit_seconds]
    if policy.baseline_p95_seconds is not None:
        limits.append(policy.p95_baseline_factor * policy.baseline_p95_seconds)
    return p95_seconds > min(limits)


def look_up(share: float, error_rate: float | None, p95_seconds: float | None, policy: Policy) -> MatrixCell:
    """The decision at a healthy share, an error rate and a P95 latency (seconds).

    Raises:
        ValueError: for a share or a rate outside [0, 1].
    """
    healthy, errors = healthy_band(share), error_band(error_rate)
    breached = latency_breached(p95_seconds, policy)
    effective = ERRORS_SOME if breached and errors.verdict < ERRORS_SOME.verdict else errors
    quote, source = _quote(healthy, errors, effective)
    return MatrixCell(
        verdict=max(healthy.verdict, effective.verdict),
        healthy_band=healthy.label,
        error_band=effective.label,
        source="runbook" if source else "extension",
        quote=quote,
        latency_breached=breached,
    )


def _quote(healthy: Band, errors: Band, effective: Band) -> tuple[str, bool]:
    if healthy is HEALTHY_CRITICAL:
        return CRITICAL_ROW, True
    row = RUNBOOK_ROWS.get((healthy, errors)) if errors is effective else None
    if row is not None:
        return row, True
    latency = " (raised by latency)" if errors is not effective else ""
    return NOT_COVERED.format(healthy.label, effective.label + latency), False


def _require_ratio(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, not {value}")
