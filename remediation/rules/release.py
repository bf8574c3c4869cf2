"""The Helm release is locked: somebody is working on it, or died while doing so."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Cause, Family, Finding
from remediation.snapshot import Snapshot


def find(snapshot: Snapshot) -> Sequence[Finding]:
    """A finding while the newest revision is pending. Nothing can be upgraded or rolled back until it is not."""
    newest = snapshot.release_revision
    if newest is None or not newest.pending:
        return ()
    summary = f"Helm revision {newest.revision} is {newest.status} since {newest.deployed_at or 'an unknown time'}"
    return (Finding(Cause.RELEASE_PENDING, Family.RELEASE, 0.5, summary, reasons=(newest.status,), actionable=False),)
