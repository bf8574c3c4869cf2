"""Clients are failed. It names no cause, but it keeps a deployment whose pods are all Ready from being called
healthy.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediation.matrix import ERRORS_FEW, error_band
from remediation.model import Cause, Family, Finding
from remediation.snapshot import Snapshot


def find(snapshot: Snapshot) -> Sequence[Finding]:
    """A finding from 5 % of failed requests on. Its decision is the matrix's; no action follows from it alone."""
    traffic = snapshot.traffic
    if traffic.error_rate is None or error_band(traffic.error_rate) is ERRORS_FEW:
        return ()
    summary = (
        f"{traffic.failures} of {traffic.requests} requests failed ({traffic.error_rate:.1%}) "
        f"in {traffic.window_seconds:.0f} s, by {traffic.source}"
    )
    return (Finding(Cause.HIGH_ERROR_RATE, Family.APPLICATION, 0.5, summary, actionable=False),)
