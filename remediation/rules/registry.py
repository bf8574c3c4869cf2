"""The registry of record says something else than the pods do (runbook Scenario 3)."""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import Cause, Family, Finding
from remediation.snapshot import RegistryEntry, Snapshot

READY, DISABLED = "ready", "disabled"


def find(snapshot: Snapshot) -> Sequence[Finding]:
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
    return (Finding(Cause.REGISTRY_UNREADABLE, Family.DATA, 0.5, summary, confirmed=False, actionable=False),)


def _other_status(entry: RegistryEntry) -> Finding:
    summary = f"{_name(entry)} has status {entry.status!r}, which gets no traffic"
    return Finding(Cause.REGISTRY_NOT_READY, Family.REGISTRY, 0.8, summary, reasons=(entry.status,), actionable=False)


def _on_purpose(entry: RegistryEntry) -> Finding:
    who, why = entry.owner or "nobody named", entry.reason or "no reason given"
    return Finding(
        cause=Cause.REGISTRY_DISABLED_ON_PURPOSE,
        family=Family.REGISTRY,
        confidence=1.0,
        summary=f"{_name(entry)} was disabled on purpose by {who}: {why}",
        evidence=(f"reason {entry.reason!r}, owner {entry.owner!r} are kept in the registry",),
        reasons=(DISABLED,),
        actionable=False,
    )


def _disabled(entry: RegistryEntry, snapshot: Snapshot) -> Finding:
    """Confirmed only by a completion through a pod: a model that cannot answer must not get traffic."""
    answered = snapshot.pod_completion
    evidence = [f"registry: {_name(entry)} is {entry.status} by {entry.owner or 'nobody named'}, without a reason"]
    against = []
    if answered:
        evidence.append(f"a pod answered a completion: {snapshot.pod_completion_detail}")
    else:
        against.append(f"no completion through a pod: {snapshot.pod_completion_detail or 'not tried'}")
    return Finding(
        cause=Cause.REGISTRY_DISABLED,
        family=Family.REGISTRY,
        confidence=1.0 if answered else 0.5,
        summary=f"{_name(entry)} is disabled in the registry while {snapshot.healthy} pod(s) are healthy",
        evidence=tuple(evidence),
        against=tuple(against),
        reasons=(DISABLED,),
        facts={"healthy": snapshot.healthy, "endpoint": entry.endpoint},
        confirmed=bool(answered),
    )


def _name(entry: RegistryEntry) -> str:
    return f"model {entry.model} ({entry.environment})"
