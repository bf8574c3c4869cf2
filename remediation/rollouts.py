"""A change of the pod template, and what a rollout needs around it: room, patience, and a strategy put back."""

from __future__ import annotations

from remediation.actions.base import Action
from remediation.actions.checks import WaitRollout
from remediation.actions.workload import PatchStrategy, RestoreStrategy
from remediation.model import Phase
from remediation.remedy import Refusal, Remedy, Situation, Step
from remediation.room import rollout_room
from remediation.snapshot import Deployment


def rollout(situation: Situation, change: Action, why: str) -> Remedy | Refusal:
    """Make room if there is none, apply the change, wait for the rollout, put the strategy back (notes 8, W29)."""
    snapshot = situation.snapshot
    deployment = snapshot.deployment
    if deployment is None:
        return Refusal("no Deployment is known")
    room = rollout_room(snapshot)
    if not room.fits and not room.by_unavailable:
        return Refusal(room.text)
    wait = Step(Phase.REMEDIATE, WaitRollout(deployment.name), "all pods of the new revision must be available")
    first = Step(Phase.REMEDIATE, change, why)
    if room.fits:
        return Remedy((first, wait), (room.text,))
    way, back = _give_way(deployment, room.text)
    return Remedy((first, way, wait, back), (room.text,))


def _give_way(deployment: Deployment, why: str) -> tuple[Step, Step]:
    """Let one pod go first, and the strategy as it was written.

    Patched after Helm's own change: Helm applies server-side, and fields that somebody else has changed would
    conflict.
    """
    written = deployment.rolling_update
    surge, unavailable = written.get("maxSurge", "25%"), written.get("maxUnavailable", "25%")
    back = RestoreStrategy(deployment.name, surge, unavailable)
    return (
        Step(Phase.REMEDIATE, PatchStrategy(deployment.name, 0, 1), why),
        Step(Phase.SCALE, back, "the strategy goes back to what it was"),
    )
