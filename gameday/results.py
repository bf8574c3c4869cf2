"""What a run leaves for machines: ``summary.json`` and ``junit.xml``, and the exit code."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gameday.judge import Verdict

EXIT_PASS, EXIT_FAIL, EXIT_UNUSABLE, EXIT_UNPROVEN = 0, 1, 2, 3


@dataclass(slots=True)
class ScenarioResult:
    """One scenario's outcome; times are monotonic seconds, ``numbers`` as the judge gives them."""

    feature: str
    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    started_seconds: float
    ended_seconds: float
    marks: dict[str, float]
    numbers: dict[str, float | None]
    decision: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RunSummary:
    """A whole run. ``started`` is the wall-clock time in RFC 3339."""

    run_id: str
    started: str
    started_seconds: float
    ended_seconds: float
    environment: dict[str, str]
    slo: dict[str, float]
    scenarios: list[ScenarioResult]
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all PASS; 1 any FAIL; 3 nothing failed but something proved nothing, or nothing ran."""
        return exit_code([scenario.verdict for scenario in self.scenarios], interrupted=self.interrupted)


def exit_code(verdicts: Sequence[Verdict], *, interrupted: bool = False) -> int:
    """The exit code of a run that could run. Never 0 when nothing ran."""
    if Verdict.FAIL in verdicts:
        return EXIT_FAIL
    if interrupted or not verdicts or any(verdict is not Verdict.PASS for verdict in verdicts):
        return EXIT_UNPROVEN
    return EXIT_PASS


def write_summary(summary: RunSummary, folder: Path) -> None:
    """Write ``summary.json``."""
    content = {**asdict(summary), "exit_code": summary.exit_code}
    (folder / "summary.json").write_text(json.dumps(content, indent=1, default=str) + "\n")


def read_summary(folder: Path) -> RunSummary:
    """Read ``summary.json`` back, so that a report can be rendered again later."""
    content = json.loads((folder / "summary.json").read_text())
    content.pop("exit_code", None)
    scenarios = [ScenarioResult(**{**s, "verdict": Verdict(s["verdict"])}) for s in content.pop("scenarios")]
    return RunSummary(**content, scenarios=scenarios)


def write_junit(summary: RunSummary, folder: Path) -> None:
    """Write ``junit.xml``: FAIL is a failure, INVALID and INCONCLUSIVE are errors (they prove nothing)."""
    suite = ElementTree.Element(
        "testsuite",
        name="gameday",
        tests=str(len(summary.scenarios)),
        failures=str(sum(s.verdict is Verdict.FAIL for s in summary.scenarios)),
        errors=str(sum(s.verdict in (Verdict.INVALID, Verdict.INCONCLUSIVE) for s in summary.scenarios)),
        time=f"{summary.ended_seconds - summary.started_seconds:.3f}",
    )
    for scenario in summary.scenarios:
        duration = scenario.ended_seconds - scenario.started_seconds
        case = ElementTree.SubElement(
            suite, "testcase", classname=scenario.feature, name=scenario.name, time=f"{duration:.3f}"
        )
        if scenario.verdict is not Verdict.PASS:
            tag = "failure" if scenario.verdict is Verdict.FAIL else "error"
            note = ElementTree.SubElement(case, tag, type=scenario.verdict.value, message="; ".join(scenario.reasons))
            note.text = "\n".join(scenario.reasons)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(folder / "junit.xml", encoding="utf-8", xml_declaration=True)
