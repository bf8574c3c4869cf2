"""From findings to a decision: cause first, then the matrix, then the tree (which only advises)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from remediation import matrix, tree
from remediation.diagnose import remedies as remedies_for
from remediation.diagnose import revision_helps
from remediation.model import Decision, DecisionAction, Finding, MatrixCell, Target, Verdict
from remediation.policy import Policy
from remediation.remedy import Refusal, Remedies, Situation
from remediation.room import rollout_room
from remediation.rules import RuleFamily
from remediation.rules.registry import REGISTRY_DISABLED_ON_PURPOSE
from remediation.rules.release import RELEASE_PENDING
from remediation.snapshot import HelmRevision, Snapshot

_ACTION = {
    Verdict.FIX_FORWARD: DecisionAction.FIX_FORWARD,
    Verdict.FIX_FORWARD_MONITORED: DecisionAction.FIX_FORWARD_MONITORED,
    Verdict.ROLLBACK: DecisionAction.ROLLBACK,
    Verdict.IMMEDIATE_ROLLBACK: DecisionAction.IMMEDIATE_ROLLBACK,
}
ROLLED_BACK = "rollback"
"""What `tried` holds once this remediation has rolled back: it does so only once."""


@dataclass(frozen=True)
class _Choice:
    action: DecisionAction
    reasons: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    revision: int | None = None


@dataclass(frozen=True)
class _Case:
    """A situation with what is known about it."""

    situation: Situation
    cell: MatrixCell
    remedies: Remedies
    rules: Sequence[RuleFamily] | None

    @property
    def snapshot(self) -> Snapshot:
        return self.situation.snapshot

    def fixes(self, finding: Finding) -> bool:
        return self.remedies.fixes(finding)


def situation_of(
    snapshot: Snapshot,
    findings: Sequence[Finding],
    policy: Policy,
    *,
    target: Target,
    tried: frozenset[str] = frozenset(),
) -> Situation:
    """What `decide` and `plan` work on."""
    return Situation(snapshot, policy, target, tuple(findings), tried)


def decide(situation: Situation, rules: Sequence[RuleFamily] | None = None) -> Decision:
    """Total over all snapshots: zero replicas, missing data and unknown error rates have decisions too.

    The cell of the matrix is always reported as measured; `overrides` says when the cause or a missing
    rollback target outweighed it, and `disagreements` where the decision tree leans another way.
    """
    snapshot, findings = situation.snapshot, situation.findings
    share = snapshot.healthy_share
    traffic = snapshot.traffic
    cell = None
    if share is not None:
        cell = matrix.look_up(share, traffic.error_rate, traffic.p95_seconds, situation.policy)
    choice = _choose(situation, cell, rules)
    causes = [f for f in findings if f.confirmed and not f.symptom]
    answers = tree.evaluate(snapshot, causes, situation.target.environment)
    return Decision(
        action=choice.action,
        cell=cell,
        quote=cell.quote if cell else "not covered by the runbook",
        healthy_share=share,
        stable_share=snapshot.stable_share,
        error_rate=traffic.error_rate,
        p95_seconds=traffic.p95_seconds,
        findings=tuple(findings),
        tree=answers,
        overrides=choice.overrides,
        disagreements=tree.disagreements(answers, choice.action),
        reasons=choice.reasons,
        rollback_revision=choice.revision,
    )


def _choose(situation: Situation, cell: MatrixCell | None, rules: Sequence[RuleFamily] | None) -> _Choice:
    findings = situation.findings
    if cell is None:
        return _without_share(situation.snapshot, findings)
    case = _Case(situation, cell, remedies_for(situation, rules), rules)
    locked = [f for f in findings if f.cause == RELEASE_PENDING]
    if locked and not case.fixes(locked[0]):
        return _Choice(DecisionAction.ESCALATE, (f"the release is locked: {locked[0].summary}",))
    actionable = [f for f in findings if f.actionable and f.confirmed]
    if not actionable:
        return _nothing_actionable(findings, cell)
    if cell.verdict.is_rollback:
        return _rollback(case, actionable, _by_matrix(cell), _ACTION[cell.verdict])
    return _fix_forward(case, actionable, _ACTION[cell.verdict])


def _by_matrix(cell: MatrixCell) -> str:
    action = _ACTION[cell.verdict]
    return f"{action.value} by the matrix ({cell.healthy_band} healthy, {cell.error_band} errors)"


def _without_share(snapshot: Snapshot, findings: Sequence[Finding]) -> _Choice:
    why = "no data is never good" if snapshot.deployment is None else "zero replicas are wanted: ask who scaled it down"
    return _Choice(DecisionAction.ESCALATE, (why, *(f.summary for f in findings)))


def _nothing_actionable(findings: Sequence[Finding], cell: MatrixCell) -> _Choice:
    if not findings and not cell.verdict.is_rollback:
        return _Choice(DecisionAction.NOTHING, ("nothing was found to be wrong",))
    if findings and all(f.cause == REGISTRY_DISABLED_ON_PURPOSE for f in findings):
        return _Choice(DecisionAction.NOTHING, ("disabled on purpose: left as it is",))
    reasons = tuple(f.summary + ("" if f.confirmed else " (not confirmed)") for f in findings)
    reasons = reasons or ("no cause was found",)
    return _Choice(DecisionAction.ESCALATE, (*reasons, "no automatic action is known for it"))


def _fix_forward(
    case: _Case, findings: Sequence[Finding], action: DecisionAction, *, or_roll_back: bool = True
) -> _Choice:
    """Repair what can be repaired. A cause whose remedy did not hold is rolled back; what is left goes to people."""
    fixable = [f for f in findings if case.fixes(f)]
    if fixable:
        left = tuple(f"left to people: {f.summary}: {_refusal(case, f)}" for f in findings if not case.fixes(f))
        return _Choice(action, (*(f.summary for f in fixable), *left))
    curable = [f for f in findings if f.family.rollback_helps]
    if or_roll_back and case.situation.tried and curable:
        said = f"{action.value} by the matrix, but the remedy for {_causes(curable)} did not hold"
        choice = _rollback(case, findings, said, DecisionAction.ROLLBACK)
        return replace(choice, overrides=(*choice.overrides, said))
    refused = tuple(f"{f.summary}: {_refusal(case, f)}" for f in findings)
    override = f"{action.value} by the matrix, but no automatic fix is known for {_causes(findings)}"
    return _Choice(DecisionAction.ESCALATE, refused, (override,))


def _rollback(case: _Case, findings: Sequence[Finding], said: str, action: DecisionAction) -> _Choice:
    """A rollback is done only when it can help, has a target that was healthy, has room to run, and is the first."""
    snapshot = case.snapshot
    curable = [f for f in findings if f.family.rollback_helps]
    if ROLLED_BACK in case.situation.tried:
        return _Choice(DecisionAction.ESCALATE, (f"{said}, but a rollback was done and did not help",))
    if not curable:
        return _fix_cause(case, findings, f"{said}, overridden: a rollback cannot repair {_causes(findings)}")
    targets = rollback_targets(snapshot)
    if not targets:
        return _Choice(DecisionAction.ESCALATE, (f"{said}, but no earlier revision is known to have been good",))
    helpful = [r for r in targets if revision_helps(r, curable, case.rules)]
    if not helpful:
        return _fix_cause(case, findings, f"{said}, overridden: every good revision has the same limit or a lower one")
    room = rollout_room(snapshot)
    if not (room.fits or room.by_unavailable):
        return _Choice(DecisionAction.ESCALATE, (f"{said}, but it has no room to run: {room.text}",))
    why = f"revision {helpful[0].revision} is the newest that {proof(snapshot, helpful[0])}"
    return _Choice(action, (*(f.summary for f in findings), why, room.text), revision=helpful[0].revision)


def _fix_cause(case: _Case, findings: Sequence[Finding], override: str) -> _Choice:
    choice = _fix_forward(case, findings, DecisionAction.FIX_CAUSE, or_roll_back=False)
    return replace(choice, overrides=(override, *choice.overrides[1:]))


def _refusal(case: _Case, finding: Finding) -> str:
    remedy = case.remedies.of(finding)
    return remedy.reason if isinstance(remedy, Refusal) else ""


def rollback_targets(snapshot: Snapshot) -> list[HelmRevision]:
    """Earlier revisions that Helm recorded as successful and that run something else; proven ones first, then
    newest.
    """
    newest = snapshot.release_revision
    if newest is None:
        return []
    earlier = [
        r
        for r in snapshot.helm
        if r.revision < newest.revision and r.succeeded and r.fingerprint and r.fingerprint != newest.fingerprint
    ]
    return sorted(earlier, key=lambda r: (is_proven(snapshot, r), r.revision), reverse=True)


def is_proven(snapshot: Snapshot, revision: HelmRevision) -> bool:
    """Whether pods of what the revision rendered serve at this moment."""
    return any(rs.ready > 0 and rs.fingerprint == revision.fingerprint for rs in snapshot.replica_sets)


def proof(snapshot: Snapshot, revision: HelmRevision) -> str:
    """In words, why a revision is believed to be good."""
    if is_proven(snapshot, revision):
        return "is proven good (its pods serve now)"
    return "is presumed good (Helm recorded its success; none of its pods is left to prove it)"


def _causes(findings: Sequence[Finding]) -> str:
    return ", ".join(dict.fromkeys(f.cause for f in findings))
