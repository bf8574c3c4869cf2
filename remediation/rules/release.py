"""The Helm release is locked: somebody is working on it, or died while doing so."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Evidence, Family, Finding
from remediation.policy import Policy
from remediation.rules import RuleFamily
from remediation.snapshot import Snapshot

RELEASE_PENDING = "release_pending"


def find(snapshot: Snapshot, policy: Policy) -> Sequence[Finding]:
    """A finding while the newest revision is pending. Nothing can be upgraded or rolled back until it is not."""
    newest = snapshot.release_revision
    if newest is None or not newest.pending:
        return ()
    summary = f"Helm revision {newest.revision} is {newest.status} since {newest.deployed_at or 'an unknown time'}"
    seen = Evidence(f"Helm revision {newest.revision}", "status", newest.status, newest.deployed_at)
    return (
        Finding(
            RELEASE_PENDING,
            Family.RELEASE,
            0.5,
            summary,
            evidence=(seen,),
            reasons=(newest.status,),
            actionable=False,
            symptom=True,
        ),
    )


FAMILY = RuleFamily("release", find)
