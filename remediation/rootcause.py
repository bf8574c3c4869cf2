"""The root-cause report (runbook, Procedure 2): every failure point, ranked, with what speaks for and against. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from remediation.model import Finding
from remediation.policy import Policy
from remediation.rules import RuleFamily, families
from remediation.snapshot import Snapshot


@dataclass(frozen=True)
class FailurePoint:
    """A place where it could have broken.

    Attributes:
        name: the family of rules that looked there.
        findings: what they found, the most confident first.
        unseen: why they could not look properly; empty when they could.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    unseen: str = ""

    @property
    def confidence(self) -> float:
        """Of the best finding, ratio 0-1; one that is not confirmed counts half."""
        return max((f.confidence * (1.0 if f.confirmed else 0.5) for f in self.findings), default=0.0)


def failure_points(
    snapshot: Snapshot, policy: Policy, rules: Sequence[RuleFamily] | None = None
) -> tuple[FailurePoint, ...]:
    """All failure points: those with the best proven findings first, then those that could not be seen."""
    points = [_point(family, snapshot, policy) for family in (families() if rules is None else rules)]
    return tuple(sorted(points, key=lambda p: (-p.confidence, not p.unseen, p.name)))


def report(points: Sequence[FailurePoint]) -> Iterator[str]:
    """The report for a terminal."""
    for number, point in enumerate((p for p in points if p.findings), 1):
        for finding in point.findings:
            yield from _finding(f"{number}. {point.name}", finding)
    for point in points:
        if not point.findings and point.unseen:
            yield f"not seen: {point.name}: {point.unseen}"
    clear = [p.name for p in points if not p.findings and not p.unseen]
    if clear:
        yield f"looked at, nothing found: {', '.join(clear)}"


def _point(family: RuleFamily, snapshot: Snapshot, policy: Policy) -> FailurePoint:
    found = sorted(family.find(snapshot, policy), key=lambda f: (not f.confirmed, -f.confidence))
    unseen = [text for text in snapshot.missing if text.startswith(family.name)]
    return FailurePoint(family.name, tuple(found), "; ".join(unseen))


def _finding(place: str, finding: Finding) -> Iterator[str]:
    doubts = ", disputed" if finding.against else ""
    state = "" if finding.confirmed else ", not confirmed"
    kind = "symptom" if finding.symptom else "cause"
    yield f"{place}: {kind} {finding.cause} ({finding.confidence:.0%}{state}{doubts}): {finding.summary}"
    yield from (f"     for:     {evidence}" for evidence in finding.evidence)
    yield from (f"     against: {evidence}" for evidence in finding.against)
