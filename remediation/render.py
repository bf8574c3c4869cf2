"""Values of the remediation as JSON and as text for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from remediation.actions.base import Action
from remediation.model import Decision, JsonValue
from remediation.remedy import Plan
from remediation.snapshot import Snapshot

HIDDEN = ("api_key", "registry_token")


def as_json(value: Any) -> JsonValue:
    """Plain JSON for dataclasses, enums, mappings and sequences. Secrets of a target are left out."""
    if isinstance(value, Enum):
        return value.name.lower()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Action):
        return {"name": value.name, **_fields(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, Path):
        return str(value)
    return [as_json(each) for each in value]


def _fields(value: Any) -> dict[str, JsonValue]:
    names = [f.name for f in dataclasses.fields(value) if f.name not in HIDDEN]
    return {name: as_json(getattr(value, name)) for name in names}


def snapshot_facts(snapshot: Snapshot) -> dict[str, JsonValue]:
    """What matters of a snapshot for a timeline."""
    return {
        "healthy": snapshot.healthy,
        "stable": snapshot.stable,
        "desired": snapshot.deployment.desired if snapshot.deployment else None,
        "healthy_share": snapshot.healthy_share,
        "stable_share": snapshot.stable_share,
        "error_rate": snapshot.traffic.error_rate,
        "p95_seconds": snapshot.traffic.p95_seconds,
        "requests": snapshot.traffic.requests,
        "refused": snapshot.traffic.refused,
        "traffic_source": snapshot.traffic.source,
        "registry": snapshot.registry.status if snapshot.registry else None,
        "missing": list(snapshot.missing),
    }


def decision_facts(decision: Decision) -> dict[str, JsonValue]:
    """A decision without its findings, which have events of their own."""
    facts = as_json(dataclasses.replace(decision, findings=()))
    assert isinstance(facts, dict)
    facts["action"] = decision.action.value
    facts["causes"] = [finding.cause for finding in decision.findings]
    return facts


def snapshot_lines(snapshot: Snapshot) -> Iterator[str]:
    """Numbers of a snapshot: pods, traffic, registry, and what could not be read."""
    desired = snapshot.deployment.desired if snapshot.deployment else "no"
    yield f"pods:     {snapshot.healthy} healthy, {snapshot.stable} stable, {desired} wanted ({_share(snapshot)})"
    yield f"traffic:  {_rate(snapshot.traffic.error_rate)} errors, P95 {_seconds(snapshot.traffic.p95_seconds)}" + (
        f" ({snapshot.traffic.requests} requests by {snapshot.traffic.source})" if snapshot.traffic.requests else ""
    )
    yield f"registry: {snapshot.registry.status if snapshot.registry else snapshot.registry_problem or 'none'}"
    yield from (f"missing:  {text}" for text in snapshot.missing)


def decision_lines(decision: Decision) -> Iterator[str]:
    """A decision with the row that made it, and whatever stood against it."""
    yield f"decision: {decision.action.value}"
    if cell := decision.cell:
        bands = f"{cell.healthy_band} healthy x {cell.error_band} errors"
        yield f"  matrix:    {bands}: {cell.verdict.label} ({cell.source})"
    yield f"  quote:     {decision.quote}"
    yield from (f"  because:   {text}" for text in decision.reasons)
    yield from (f"  override:  {text}" for text in decision.overrides)
    yield from (f"  tree says: {text}" for text in decision.disagreements)


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan as a script that a person could run, reasons as comments."""
    if plan.refused:
        yield f"plan: nothing may be done: {plan.refused}"
    phase = None
    for action in plan.actions:
        if action.phase is not phase:
            phase = action.phase
            yield f"# {phase.value}"
        yield f"#   {action.why}"
        yield action.command
    yield from (f"# note: {note}" for note in plan.notes)


def _share(snapshot: Snapshot) -> str:
    return "no share" if snapshot.healthy_share is None else f"{snapshot.healthy_share:.0%}"


def _rate(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.1%}"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"
