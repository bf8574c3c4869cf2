"""From findings to a decision: cause first, then the matrix, then the tree (which only advises)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from remediation import matrix, tree
from remediation.model import Cause, Decision, DecisionAction, Finding, MatrixCell, Verdict
from remediation.policy import Policy
from remediation.room import rollout_room
from remediation.snapshot import HelmRevision, Snapshot

_ACTION = {
    Verdict.FIX_FORWARD: DecisionAction.FIX_FORWARD,
    Verdict.FIX_FORWARD_MONITORED: DecisionAction.FIX_FORWARD_MONITORED,
    Verdict.ROLLBACK: DecisionAction.ROLLBACK,
    Verdict.IMMEDIATE_ROLLBACK: DecisionAction.IMMEDIATE_ROLLBACK,
}
FIXABLE = frozenset({Cause.OOM_KILLED, Cause.REGISTRY_DISABLED})


@dataclass(frozen=True)
class _Choice:
    action: DecisionAction
    reasons: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    revision: int | None = None


def decide(
    snapshot: Snapshot, findings: Sequence[Finding], policy: Policy, *, environment: str = "production"
) -> Decision:
    """Total over all snapshots: zero replicas, missing data and unknown error rates have decisions too.

    The cell of the matrix is always reported as measured; `overrides` says when the cause or a missing
    rollback target outweighed it, and `disagreements` where the decision tree leans another way.
    """
    share = snapshot.healthy_share
    traffic = snapshot.traffic
    cell = None if share is None else matrix.look_up(share, traffic.error_rate, traffic.p95_seconds, policy)
    choice = _choose(snapshot, findings, cell)
    causes = [f for f in findings if f.confirmed and f.cause is not Cause.HIGH_ERROR_RATE]
    answers = tree.evaluate(snapshot, causes, environment)
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


def _choose(snapshot: Snapshot, findings: Sequence[Finding], cell: MatrixCell | None) -> _Choice:
    if cell is None:
        return _without_share(snapshot, findings)
    if locked := [f.summary for f in findings if f.cause is Cause.RELEASE_PENDING]:
        return _Choice(DecisionAction.ESCALATE, (f"the release is locked: {locked[0]}",))
    actionable = [f for f in findings if f.actionable and f.confirmed]
    if not actionable:
        return _nothing_actionable(findings, cell)
    if cell.verdict.is_rollback:
        return _rollback(snapshot, actionable, cell)
    return _fix_forward(actionable, _ACTION[cell.verdict])


def _without_share(snapshot: Snapshot, findings: Sequence[Finding]) -> _Choice:
    why = "no data is never good" if snapshot.deployment is None else "zero replicas are wanted: ask who scaled it down"
    return _Choice(DecisionAction.ESCALATE, (why, *(f.summary for f in findings)))


def _nothing_actionable(findings: Sequence[Finding], cell: MatrixCell) -> _Choice:
    if not findings and not cell.verdict.is_rollback:
        return _Choice(DecisionAction.NOTHING, ("nothing was found to be wrong",))
    if findings and all(f.cause is Cause.REGISTRY_DISABLED_ON_PURPOSE for f in findings):
        return _Choice(DecisionAction.NOTHING, ("disabled on purpose: left as it is",))
    reasons = tuple(f.summary + ("" if f.confirmed else " (not confirmed)") for f in findings)
    reasons = reasons or ("no cause was found",)
    return _Choice(DecisionAction.ESCALATE, (*reasons, "no automatic action is known for it"))


def _fix_forward(findings: Sequence[Finding], action: DecisionAction) -> _Choice:
    unfixable = [f for f in findings if not is_fixable(f)]
    if not unfixable:
        return _Choice(action, tuple(f.summary for f in findings))
    if any(is_fixable(f) for f in findings):
        left = tuple(f"left to people: {f.summary}" for f in unfixable)
        return _Choice(action, (*(f.summary for f in findings if is_fixable(f)), *left))
    return _Choice(
        DecisionAction.ESCALATE,
        tuple(f.summary for f in unfixable),
        (f"{action.value} by the matrix, but no automatic fix is known for {_causes(unfixable)}",),
    )


def _rollback(snapshot: Snapshot, findings: Sequence[Finding], cell: MatrixCell) -> _Choice:
    """A rollback is done only when it can help, has a target that was healthy, and has room to run."""
    action = _ACTION[cell.verdict]
    said = f"{action.value} by the matrix ({cell.healthy_band} healthy, {cell.error_band} errors)"
    curable = [f for f in findings if f.family.rollback_helps]
    if not curable:
        return _fix_cause(findings, f"{said}, overridden: a rollback cannot repair {_causes(findings)}")
    targets = rollback_targets(snapshot)
    if not targets:
        return _Choice(DecisionAction.ESCALATE, (f"{said}, but no earlier revision is known to have been good",))
    helpful = [r for r in targets if _helps(r, curable)]
    if not helpful:
        return _fix_cause(findings, f"{said}, overridden: every good revision has the same limit or a lower one")
    room = rollout_room(snapshot)
    if not (room.fits or room.by_unavailable):
        return _Choice(DecisionAction.ESCALATE, (f"{said}, but it has no room to run: {room.text}",))
    why = f"revision {helpful[0].revision} is the newest that {proof(snapshot, helpful[0])}"
    return _Choice(action, (*(f.summary for f in findings), why, room.text), revision=helpful[0].revision)


def _fix_cause(findings: Sequence[Finding], override: str) -> _Choice:
    choice = _fix_forward(findings, DecisionAction.FIX_CAUSE)
    return replace(choice, overrides=(override,))


def is_fixable(finding: Finding) -> bool:
    """Whether the remediation knows what to do about the cause itself."""
    return finding.cause in FIXABLE and (finding.cause is not Cause.OOM_KILLED or finding.config_fix)


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


def _helps(revision: HelmRevision, findings: Sequence[Finding]) -> bool:
    limits = [f.facts.get("limit_bytes") for f in findings if f.cause is Cause.OOM_KILLED]
    failing = max((limit for limit in limits if isinstance(limit, int)), default=0)
    return revision.memory_limit_bytes is None or revision.memory_limit_bytes > failing


def _causes(findings: Sequence[Finding]) -> str:
    return ", ".join(dict.fromkeys(f.cause.value for f in findings))
