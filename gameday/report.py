"""Renders ``report.html`` from a run folder, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from gameday.evidence import MARKS, PodCount, between
from gameday.judge import Verdict
from gameday.plots import MARK_COLOURS, WINDOW_SECONDS, scenario_svg
from gameday.results import RunSummary, ScenarioResult, read_summary
from gameday.timeline import Event, read_timeline
from load.samples import Sample, read_samples

_MARK_TEXT = {
    "injected": "failure injected",
    "effect_seen": "effect proven",
    "detected": "detected",
    "decided": "decided",
    "acted": "first change made",
    "healthy": "all pods ready",
    "recovered": "recovered",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A numbered moment of a scenario, seconds since the injection."""

    number: int
    text: str
    colour: str
    after_seconds: float


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """What the page shows of a scenario."""

    result: ScenarioResult
    picture: Markup
    marks: list[Mark]
    events: list[Event]


def render(folder: Path) -> Path:
    """Write ``report.html`` into a run folder and return its path."""
    summary = read_summary(folder)
    samples_path = folder / "samples.jsonl"
    samples = read_samples(samples_path) if samples_path.exists() else []
    timeline = read_timeline(folder / "timeline.jsonl")
    views = [_view(scenario, summary, samples, timeline) for scenario in summary.scenarios]
    environment = Environment(loader=PackageLoader("gameday"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["seconds"] = _seconds
    page = environment.get_template("report.html.j2").render(
        summary=summary,
        views=views,
        sentence=sentence(summary),
        duration=summary.ended_seconds - summary.started_seconds,
    )
    path = folder / "report.html"
    path.write_text(page)
    return path


def sentence(summary: RunSummary) -> str:
    """The verdict of the run in one sentence."""
    count = len(summary.scenarios)
    passed = sum(s.verdict is Verdict.PASS for s in summary.scenarios)
    if not count:
        return "Nothing was proven: no scenario ran to its end."
    if summary.interrupted:
        return f"Interrupted: {passed} of {count} scenarios had passed; nothing can be said of the rest."
    if passed == count:
        return f"The remediation works: all {count} scenarios recovered and held their objectives."
    failed = [s.name for s in summary.scenarios if s.verdict is Verdict.FAIL]
    if failed:
        return f"The remediation does not work: {len(failed)} of {count} scenarios failed ({'; '.join(failed)})."
    return f"Not proven: {count - passed} of {count} scenarios were invalid or inconclusive."


def _view(result: ScenarioResult, summary: RunSummary, samples: list[Sample], timeline: list[Event]) -> ScenarioView:
    start, end = result.started_seconds, result.ended_seconds
    pods = [
        PodCount(e.at_seconds, int(e.detail["ready"]), int(e.detail["desired"])) for e in timeline if e.kind == "pods"
    ]
    picture = scenario_svg(
        between(samples, start - WINDOW_SECONDS, end),
        pods,
        result.marks,
        start,
        end,
        latency_limit_seconds=float(summary.slo.get("latency_p95_seconds", 3.0)),
        name=result.name,
    )
    events = [e for e in timeline if e.scenario == result.name and e.kind in ("experiment", "remediation", "step")]
    return ScenarioView(result, Markup(picture), _marks(result), events)  # noqa: S704  (drawn by us, from numbers)


def _marks(result: ScenarioResult) -> list[Mark]:
    ordered = sorted((at, name) for name, at in result.marks.items() if name in MARKS)
    origin = result.marks.get("injected", result.started_seconds)
    return [
        Mark(number, _MARK_TEXT[name], MARK_COLOURS[name], at - origin)
        for number, (at, name) in enumerate(ordered, start=1)
    ]


def _seconds(value: Any) -> str:
    return "-" if value is None else f"{float(value):.1f} s"
