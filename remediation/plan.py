"""From a decision to actions, in the phases of the runbook's Procedure 3, each with the command a person would
type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from remediation.actions.base import CommandContext
from remediation.actions.checks import VerifyCompletion, VerifyEndpoints, VerifyRouting, WaitRollout
from remediation.actions.helm import HelmRollback, HelmUpgrade
from remediation.actions.workload import PauseAutoscaling, ResumeAutoscaling
from remediation.diagnose import remedies as remedies_for
from remediation.model import Decision, Finding, Phase
from remediation.remedy import Plan, PlannedAction, Refusal, Remedy, Situation, Step
from remediation.rollouts import rollout
from remediation.rules import RuleFamily
from remediation.snapshot import Autoscaler

NO_SCALING = "readiness already keeps traffic from failing pods: nothing is scaled for that"


class _Refused(Exception):
    """The decision cannot be carried out safely."""


def plan(decision: Decision, situation: Situation, rules: Sequence[RuleFamily] | None = None) -> Plan:
    """The actions for a decision; empty with `refused` set when they would not be safe or are not known."""
    snapshot, policy = situation.snapshot, situation.policy
    if not (decision.action.fixes or decision.action.is_rollback) or snapshot.deployment is None:
        return Plan(refused="; ".join((*decision.reasons, *decision.overrides)))
    notes = [NO_SCALING]
    try:
        steps = _steps(decision, situation, rules, notes)
    except _Refused as refusal:
        return Plan(notes=tuple(notes), refused=str(refusal))
    newest = snapshot.release_revision
    context = CommandContext(situation.target, newest.chart if newest else "", policy)
    actions = tuple(
        PlannedAction(step.phase, step.action, step.why, step.action.command(context), step.action.undo(context))
        for step in steps
    )
    if sum(a.changes_something for a in actions) > policy.max_actions:
        return Plan(notes=tuple(notes), refused=f"it would take more than {policy.max_actions} changes")
    return Plan(actions=actions, notes=tuple(notes))


def treated(decision: Decision, situation: Situation, rules: Sequence[RuleFamily] | None = None) -> list[Finding]:
    """The findings whose remedy a plan for this decision carries out."""
    known = remedies_for(situation, rules)
    return [f for f in situation.findings if f.confirmed and f.actionable and known.fixes(f)]


def _steps(
    decision: Decision, situation: Situation, rules: Sequence[RuleFamily] | None, notes: list[str]
) -> list[Step]:
    """All phases. Autoscalers are kept still in between, as long as they would otherwise act."""
    autoscalers = situation.snapshot.autoscalers
    steps = [
        *(_pause(each) for each in autoscalers),
        Step(Phase.STABILISE, VerifyEndpoints(), "only ready pods may get traffic"),
        *_repairs(decision, situation, rules, notes),
        Step(Phase.VALIDATE, VerifyCompletion(), "every serving pod must answer"),
        Step(Phase.VALIDATE, VerifyRouting(), "a client's request must be answered through the router"),
        *(_resume(each) for each in autoscalers),
    ]
    if not autoscalers:
        notes.append("there is no autoscaler to pause")
    return sorted(_without_repetition(_one_upgrade(steps)), key=lambda step: list(Phase).index(step.phase))


def _repairs(
    decision: Decision, situation: Situation, rules: Sequence[RuleFamily] | None, notes: list[str]
) -> list[Step]:
    known = remedies_for(situation, rules)
    steps: list[Step] = []
    if decision.rollback_revision is not None:
        back = HelmRollback(decision.rollback_revision)
        steps += _taken(rollout(situation, back, f"{decision.action.value}: {decision.quote}"), notes)
    for finding in treated(decision, situation, rules):
        if decision.rollback_revision is None or not finding.family.rollback_helps:
            steps += _taken(known.of(finding), notes)
    return steps


def _taken(remedy: Remedy | Refusal, notes: list[str]) -> tuple[Step, ...]:
    if isinstance(remedy, Refusal):
        raise _Refused(remedy.reason)
    notes.extend(note for note in remedy.notes if note not in notes)
    return remedy.steps


def _one_upgrade(steps: list[Step]) -> list[Step]:
    """Several upgrades are one: each would roll all pods."""
    upgrades = [step for step in steps if isinstance(step.action, HelmUpgrade)]
    if len(upgrades) < 2:
        return steps
    values = dict(pair for step in upgrades if isinstance(step.action, HelmUpgrade) for pair in step.action.set_values)
    merged = replace(upgrades[0], action=HelmUpgrade(tuple(values.items())), why="; ".join(s.why for s in upgrades))
    return [merged if step is upgrades[0] else step for step in steps if step is upgrades[0] or step not in upgrades]


def _without_repetition(steps: list[Step]) -> list[Step]:
    """A wait that several remedies want is done once; the order of what is left stays."""
    kept: dict[tuple[Phase, object], Step] = {}
    for step in steps:
        key = (step.phase, step.action)
        if isinstance(step.action, WaitRollout):
            kept.pop(key, None)
        kept.setdefault(key, step)
    return list(kept.values())


def _pause(autoscaler: Autoscaler) -> Step:
    return Step(Phase.STABILISE, PauseAutoscaling(autoscaler.name), "an autoscaler would work against the repair")


def _resume(autoscaler: Autoscaler) -> Step:
    return Step(Phase.SCALE, ResumeAutoscaling(autoscaler.name), "auto-scaling goes on as before")
