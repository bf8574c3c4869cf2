"""Writes the postmortem of a scenario: what happened from the timeline, what users felt from the samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.slo import Slo
from remediation.postmortem import Impact, Incident, render

if TYPE_CHECKING:
    from gameday.scenario import ScenarioRun

BUDGET_PERIOD = timedelta(days=30)
_MARKS = {"injected": "Failure began", "effect_seen": "Issue detected", "recovered": "Service restored"}


def impact(requests: int, failed: int, refused: int, seconds: float, slo: Slo) -> Impact:
    """What an incident took from the error budget, at the rate of requests that it had (SRE workbook, chapter 2).

    A refusal of a disabled model is no error, so it takes nothing.
    """
    if requests == 0 or seconds <= 0 or slo.error_ratio <= 0:
        return Impact(requests, failed, refused)
    allowed = requests / seconds * BUDGET_PERIOD.total_seconds() * slo.error_ratio
    share = failed / allowed
    minutes = share * BUDGET_PERIOD.total_seconds() / 60 * slo.error_ratio
    return Impact(requests, failed, refused, minutes, share, f"{BUDGET_PERIOD.days} days")


def write_postmortem(run: ScenarioRun, path: Path, *, ended_seconds: float) -> None:
    """Write the postmortem of a scenario that had a failure.

    Args:
        ended_seconds: monotonic, now.
    """
    began = run.marks["injected"]
    ended = run.marks.get("recovered", ended_seconds)
    seen = run.window(began, ended)
    now = datetime.now(UTC)
    incident = Incident(
        title=f"{run.feature}: {run.name}",
        began=now - timedelta(seconds=ended_seconds - began),
        began_monotonic_seconds=began,
        ended_monotonic_seconds=ended,
        events=run.remediation_events,
        outcome=run.outcome,
        impact=impact(seen.requests, seen.failed, seen.refused, ended - began, run.day.slo),
        marks={run.marks[name]: text for name, text in _MARKS.items() if name in run.marks},
    )
    path.write_text(render(incident), encoding="utf-8")
