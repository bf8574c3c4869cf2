"""From a snapshot to what is wrong with it, and to what is known about repairing it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Finding
from remediation.policy import Policy
from remediation.remedy import Refusal, Remedies, Remedy, Situation
from remediation.rules import RuleFamily, families
from remediation.snapshot import HelmRevision, Snapshot


def diagnose(
    snapshot: Snapshot, policy: Policy | None = None, rules: Sequence[RuleFamily] | None = None
) -> list[Finding]:
    """All findings, the best proven first. An empty list means that every rule looked and found nothing."""
    policy = policy or Policy()
    findings = [finding for family in _given(rules) for finding in family.find(snapshot, policy)]
    return sorted(findings, key=lambda f: (not f.confirmed, f.symptom, not f.actionable, -f.confidence))


def remedies(situation: Situation, rules: Sequence[RuleFamily] | None = None) -> Remedies:
    """What can be done about each finding. A cause that was tried before and did not hold has no remedy any more."""
    known = {cause: remedy for family in _given(rules) for cause, remedy in family.remedies.items()}
    found: dict[str, Remedy | Refusal] = {}
    for finding in situation.findings:
        if finding.cause in situation.tried:
            found[finding.cause] = Refusal(f"the remedy for {finding.cause} was carried out and did not hold")
        elif finding.cause in known:
            found[finding.cause] = known[finding.cause](finding, situation)
    return Remedies(found)


def bad_input(situation: Situation, rules: Sequence[RuleFamily] | None = None) -> str:
    """Why a repair is impossible until a person has mended what we were given; empty when nothing is."""
    known = remedies(situation, rules).by_cause.values()
    return "; ".join(each.reason for each in known if isinstance(each, Refusal) and each.bad_input)


def revision_helps(revision: HelmRevision, findings: Sequence[Finding], rules: Sequence[RuleFamily] | None) -> bool:
    """Whether no family objects that a revision suffers from the same."""
    judges = [family.rollback_helps for family in _given(rules) if family.rollback_helps is not None]
    return all(helps(revision, finding) for helps in judges for finding in findings)


def _given(rules: Sequence[RuleFamily] | None) -> Sequence[RuleFamily]:
    return families() if rules is None else rules
