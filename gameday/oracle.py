"""What the runbook's rollback decision matrix says, worked out a second time and apart from the remediation.

The judge compares the remediation's decision with this one, so a mistake in either shows. Source: the runbook,
"Rollback Decision Matrix", made total as the project's notes settle it: half-open bands, and outside the runbook's
own four cells the stricter of what the healthy band and the error band say.
"""

from __future__ import annotations

from dataclasses import dataclass

IMMEDIATE_ROLLBACK = "immediate rollback"
ROLLBACK = "rollback recommended"
FIX_FORWARD_MONITORED = "fix forward with monitoring"
FIX_FORWARD = "fix forward"

STRICTNESS = (FIX_FORWARD, FIX_FORWARD_MONITORED, ROLLBACK, IMMEDIATE_ROLLBACK)
_BY_HEALTH = (IMMEDIATE_ROLLBACK, ROLLBACK, FIX_FORWARD_MONITORED, FIX_FORWARD)
_BY_ERRORS = (FIX_FORWARD, FIX_FORWARD_MONITORED, ROLLBACK)
_RUNBOOK_CELLS = {(0, 0), (0, 1), (0, 2), (1, 2), (2, 1), (3, 0)}


@dataclass(frozen=True, slots=True)
class MatrixAnswer:
    """What the matrix says. ``extension`` marks a cell that the runbook leaves open."""

    decision: str
    extension: bool


def matrix(healthy_share: float, error_rate: float) -> MatrixAnswer:
    """Evaluate the matrix at a healthy share and an error rate (ratios 0-1).

    Raises ValueError outside 0-1.
    """
    if not (0 <= healthy_share <= 1 and 0 <= error_rate <= 1):
        raise ValueError(f"not ratios: healthy share {healthy_share}, error rate {error_rate}")
    health = min(int(healthy_share * 4 + 1e-9), 3)
    errors = 0 if error_rate < 0.05 else 1 if error_rate <= 0.10 else 2
    decision = max(_BY_HEALTH[health], _BY_ERRORS[errors], key=STRICTNESS.index)
    return MatrixAnswer(decision, (health, errors) not in _RUNBOOK_CELLS)
