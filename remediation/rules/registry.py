"""The registry of record says something else than the pods do (runbook Scenario 3)."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.actions.checks import VerifyCompletion
from remediation.actions.registry import ClearCacheKey, EnableModel
from remediation.model import Evidence, Family, Finding, Phase
from remediation.policy import Policy
from remediation.remedy import Remedy, Situation, Step
from remediation.rules import RuleFamily
from remediation.snapshot import RegistryEntry, Snapshot

REGISTRY_DISABLED = "registry_disabled"
REGISTRY_DISABLED_ON_PURPOSE = "registry_disabled_on_purpose"
REGISTRY_NOT_READY = "registry_not_ready"
REGISTRY_UNREADABLE = "registry_unreadable"
READY, DISABLED = "ready", "disabled"


def find(snapshot: Snapshot, policy: Policy) -> Sequence[Finding]:
    """A disabled model, told apart by whether somebody meant it; and any other status that keeps traffic away."""
    entry = snapshot.registry
    if entry is None:
        return _unreadable(snapshot)
    if entry.status == READY:
        return ()
    if entry.status != DISABLED:
        return (_other_status(entry),)
    return (_on_purpose(entry) if entry.on_purpose else _disabled(entry, snapshot),)


def _unreadable(snapshot: Snapshot) -> Sequence[Finding]:
    if not snapshot.registry_problem:
        return ()
    summary = f"the registry entry is not known: {snapshot.registry_problem}"
    return (Finding(REGISTRY_UNREADABLE, Family.DATA, 0.5, summary, confirmed=False, actionable=False),)


def _other_status(entry: RegistryEntry) -> Finding:
    summary = f"{_name(entry)} has status {entry.status!r}, which gets no traffic"
    return Finding(REGISTRY_NOT_READY, Family.REGISTRY, 0.8, summary, reasons=(entry.status,), actionable=False)


def _on_purpose(entry: RegistryEntry) -> Finding:
    who, why = entry.owner or "nobody named", entry.reason or "no reason given"
    return Finding(
        cause=REGISTRY_DISABLED_ON_PURPOSE,
        family=Family.REGISTRY,
        confidence=1.0,
        summary=f"{_name(entry)} was disabled on purpose by {who}: {why}",
        evidence=(Evidence(_name(entry), "reason", f"{entry.reason!r}, owner {entry.owner!r}"),),
        reasons=(DISABLED,),
        actionable=False,
        proven=True,
    )


def _disabled(entry: RegistryEntry, snapshot: Snapshot) -> Finding:
    """Confirmed only by a completion through a pod: a model that cannot answer must not get traffic."""
    answered = snapshot.pod_completion
    by = f"{entry.status} by {entry.owner or 'nobody named'}, without a reason"
    evidence, against = [Evidence(_name(entry), "status", by)], []
    if answered:
        evidence.append(Evidence("a pod of the release", "completion", snapshot.pod_completion_detail))
    else:
        against.append(Evidence("pods of the release", "completion", snapshot.pod_completion_detail or "not tried"))
    return Finding(
        cause=REGISTRY_DISABLED,
        family=Family.REGISTRY,
        confidence=1.0 if answered else 0.5,
        summary=f"{_name(entry)} is disabled in the registry while {snapshot.healthy} pod(s) are healthy",
        evidence=tuple(evidence),
        against=tuple(against),
        reasons=(DISABLED,),
        facts={"healthy": snapshot.healthy, "endpoint": entry.endpoint},
        confirmed=bool(answered),
        proven=True,
    )


def enable(finding: Finding, situation: Situation) -> Remedy:
    """Healthy, then the cache of that key, then enable, then route (notes 11)."""
    return Remedy(
        (
            Step(Phase.ISOLATE, VerifyCompletion(), "only a model that answers may be enabled"),
            Step(Phase.REMEDIATE, VerifyCompletion(), "it must still answer after any change above"),
            Step(Phase.REMEDIATE, ClearCacheKey(), "no stale entry may outlive the change"),
            Step(Phase.REMEDIATE, EnableModel(), "nobody disabled it on purpose"),
        )
    )


def _name(entry: RegistryEntry) -> str:
    return f"model {entry.model} ({entry.environment})"


FAMILY = RuleFamily("registry", find, {REGISTRY_DISABLED: enable})
