"""From a snapshot to what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Finding
from remediation.rules import RULES, Rule
from remediation.snapshot import Snapshot


def diagnose(snapshot: Snapshot, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """All findings, the best proven first. An empty list means that every rule looked and found nothing."""
    findings = [finding for rule in rules for finding in rule(snapshot)]
    return sorted(findings, key=lambda f: (not f.confirmed, not f.actionable, -f.confidence))
