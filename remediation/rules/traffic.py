"""Clients are failed. It names no cause, but it keeps a deployment whose pods are all Ready from being called
healthy.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Evidence, Family, Finding
from remediation.policy import Policy
from remediation.rules import RuleFamily
from remediation.snapshot import Snapshot

HIGH_ERROR_RATE = "high_error_rate"
ERRORS_THAT_MATTER = 0.05


def find(snapshot: Snapshot, policy: Policy) -> Sequence[Finding]:
    """A finding from 5 % of failed requests on. Its decision is the matrix's; no action follows from it alone."""
    traffic = snapshot.traffic
    if traffic.error_rate is None or traffic.error_rate < ERRORS_THAT_MATTER:
        return ()
    summary = (
        f"{traffic.failures} of {traffic.requests} requests failed ({traffic.error_rate:.1%}) "
        f"in {traffic.window_seconds:.0f} s, by {traffic.source}"
    )
    seen = Evidence(f"traffic, by {traffic.source}", "error rate", f"{traffic.error_rate:.3f}")
    return (
        Finding(HIGH_ERROR_RATE, Family.APPLICATION, 0.5, summary, evidence=(seen,), actionable=False, symptom=True),
    )


FAMILY = RuleFamily("traffic", find)
