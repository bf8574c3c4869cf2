"""From a decision to actions, in the phases of the runbook's Procedure 3, each with the command a person would
type.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediation.commands import command_for
from remediation.decide import is_fixable
from remediation.memory import new_limit, value_path
from remediation.model import (
    ActionKind,
    Cause,
    ClearCacheKey,
    Decision,
    EnableModel,
    Finding,
    HelmRollback,
    HelmUpgrade,
    PatchStrategy,
    Phase,
    Plan,
    PlannedAction,
    Target,
    VerifyCompletion,
    VerifyRouting,
    WaitRollout,
)
from remediation.policy import Policy
from remediation.quantity import format_memory
from remediation.room import rollout_room
from remediation.snapshot import Deployment, Snapshot

Step = tuple[Phase, ActionKind, str]
NO_SCALING = "the number of replicas stays as it is: readiness already keeps traffic from failing pods"


class _Refused(Exception):
    """The decision cannot be carried out safely."""


def plan(
    decision: Decision, findings: Sequence[Finding], snapshot: Snapshot, policy: Policy, *, target: Target
) -> Plan:
    """The actions for a decision; empty with `refused` set when they would not be safe or are not known."""
    if not (decision.action.fixes or decision.action.is_rollback) or snapshot.deployment is None:
        return Plan(refused="; ".join((*decision.reasons, *decision.overrides)))
    notes = [NO_SCALING]
    try:
        steps = _steps(decision, findings, snapshot, policy, notes)
    except _Refused as refusal:
        return Plan(notes=tuple(notes), refused=str(refusal))
    chart = newest.chart if (newest := snapshot.release_revision) else ""
    actions = tuple(
        PlannedAction(phase, action, why, command_for(action, target, chart, policy))
        for phase, action, why in sorted(steps, key=lambda step: list(Phase).index(step[0]))
    )
    if sum(a.changes_something for a in actions) > policy.max_actions:
        return Plan(notes=tuple(notes), refused=f"it would take more than {policy.max_actions} changes")
    return Plan(actions=actions, notes=tuple(notes))


def _steps(
    decision: Decision, findings: Sequence[Finding], snapshot: Snapshot, policy: Policy, notes: list[str]
) -> list[Step]:
    steps: list[Step] = []
    oom = next((f for f in findings if f.cause is Cause.OOM_KILLED and is_fixable(f)), None)
    if decision.rollback_revision is not None:
        action = HelmRollback(decision.rollback_revision)
        steps += _rollout(snapshot, action, f"{decision.action.value}: {decision.quote}", notes)
    elif oom is not None:
        steps += _rollout(snapshot, *_raise_memory(oom, snapshot, policy), notes)
    if any(f.cause is Cause.REGISTRY_DISABLED for f in findings):
        steps += _enable()
    steps += [(Phase.VALIDATE, VerifyCompletion(), "every serving pod must answer"), _routing()]
    return steps


def _rollout(snapshot: Snapshot, action: ActionKind, why: str, notes: list[str]) -> list[Step]:
    """A change of the pod template: make room if there is none, apply it, wait, put the strategy back."""
    deployment = snapshot.deployment
    assert deployment is not None
    room = rollout_room(snapshot)
    notes.append(room.text)
    if not room.fits and not room.by_unavailable:
        raise _Refused(room.text)
    wait = (Phase.REMEDIATE, WaitRollout(deployment.name), "all pods of the new revision must be available")
    change = (Phase.REMEDIATE, action, why)
    if room.fits:
        return [change, wait]
    way, back = _give_way(deployment, room.text)
    return [change, way, wait, back]


def _give_way(deployment: Deployment, why: str) -> tuple[Step, Step]:
    """Let one pod go first, and the strategy as it was written.

    Patched after Helm's own change: Helm applies server-side, and fields that somebody else has changed would
    conflict.
    """
    written = deployment.rolling_update
    surge, unavailable = written.get("maxSurge", "25%"), written.get("maxUnavailable", "25%")
    return (
        (Phase.REMEDIATE, PatchStrategy(deployment.name, 0, 1), why),
        (Phase.SCALE, PatchStrategy(deployment.name, surge, unavailable), "the strategy goes back to what it was"),
    )


def _raise_memory(finding: Finding, snapshot: Snapshot, policy: Policy) -> tuple[HelmUpgrade, str]:
    failing = finding.facts.get("limit_bytes")
    if not isinstance(failing, int):
        raise _Refused("the killed container has no memory limit: the node itself is out of memory")
    limit = new_limit(snapshot, failing, policy)
    if limit.size_bytes is None:
        raise _Refused("; ".join(limit.reasons))
    path = value_path(snapshot.values, failing)
    if path is None:
        raise _Refused(f"no single value of the release sets the memory limit {format_memory(failing)}")
    values = ((".".join(path), format_memory(limit.size_bytes)),)
    return HelmUpgrade(values), "; ".join(limit.reasons)


def _enable() -> list[Step]:
    """Healthy, then the cache of that key, then enable, then route (runbook notes 11)."""
    return [
        (Phase.ISOLATE, VerifyCompletion(), "only a model that answers may be enabled"),
        (Phase.REMEDIATE, VerifyCompletion(), "it must still answer after any change above"),
        (Phase.REMEDIATE, ClearCacheKey(), "no stale entry may outlive the change"),
        (Phase.REMEDIATE, EnableModel(), "nobody disabled it on purpose"),
    ]


def _routing() -> Step:
    return (Phase.VALIDATE, VerifyRouting(), "a client's request must be answered through the router")
