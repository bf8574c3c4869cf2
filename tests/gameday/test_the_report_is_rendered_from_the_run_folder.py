"""report.html, summary.json and junit.xml from a small recorded run."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from gameday.judge import Verdict
from gameday.report import render, sentence
from gameday.results import RunSummary, ScenarioResult, exit_code, read_summary, write_junit, write_summary
from gameday.timeline import Timeline
from load.samples import Sample

MARKS = {
    "injected": 105.0,
    "effect_seen": 108.0,
    "detected": 109.0,
    "decided": 109.1,
    "acted": 111.0,
    "recovered": 116.0,
}


def run_folder(folder: Path, verdict: Verdict = Verdict.PASS) -> RunSummary:
    result = ScenarioResult(
        feature="The registry shows a healthy model as disabled",
        name="The model is disabled <script>alert(1)</script>",
        verdict=verdict,
        reasons=("recovered and held the objectives",),
        started_seconds=100.0,
        ended_seconds=125.0,
        marks=MARKS,
        numbers={"detected_seconds": 4.0, "recovery_seconds": 11.0, "requests": 250, "failed": 0, "refused": 40},
        decision={"decision": "fix forward", "matrix_row": "> 75 % healthy, < 5 % errors"},
    )
    summary = RunSummary(
        "run-1", "2026-01-01T00:00:00Z", 95.0, 130.0, {"cluster": "embedded"}, {"error_ratio": 0.001}, [result]
    )
    timeline = Timeline(folder / "timeline.jsonl")
    for at, ready in ((95.0, 3), (106.0, 2), (115.0, 3)):
        timeline.add("pods", "count", at_seconds=at, ready=ready, desired=3)
    timeline.add("remediation", "detected", scenario=result.name, at_seconds=109.0, cause="registry_disabled")
    timeline.close()
    with (folder / "samples.jsonl").open("w") as stream:
        for n in range(300):
            at = 96 + n / 10
            outcome = "refused" if 106 <= at < 111 else "ok"
            sample = Sample(n, "chat", False, at, at, at + 0.1, at + 0.2, 200, outcome)
            stream.write(json.dumps(dataclasses.asdict(sample)) + "\n")
    write_summary(summary, folder)
    return summary


def test_the_page_is_self_contained_and_shows_verdict_picture_and_marks(tmp_path: Path) -> None:
    run_folder(tmp_path)
    page = render(tmp_path).read_text()
    assert "The remediation works: all 1 scenarios recovered" in page
    assert page.count("<svg") == 1
    assert "effect proven" in page
    references = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert [r for r in references if not r.startswith("#")] == []


def test_text_from_a_feature_cannot_inject_markup(tmp_path: Path) -> None:
    run_folder(tmp_path)
    assert "<script>alert" not in render(tmp_path).read_text()


def test_a_summary_survives_being_written_and_read(tmp_path: Path) -> None:
    summary = run_folder(tmp_path, Verdict.INVALID)
    again = read_summary(tmp_path)
    assert again.scenarios[0].verdict is Verdict.INVALID
    assert again.scenarios[0].marks == summary.scenarios[0].marks


def test_junit_tells_failures_from_scenarios_that_proved_nothing(tmp_path: Path) -> None:
    for verdict, tag in ((Verdict.FAIL, "failure"), (Verdict.INVALID, "error"), (Verdict.INCONCLUSIVE, "error")):
        write_junit(run_folder(tmp_path, verdict), tmp_path)
        case = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite/testcase")
        assert case is not None
        assert [child.tag for child in case] == [tag]


@pytest.mark.parametrize(
    ("verdicts", "interrupted", "code"),
    [
        ([Verdict.PASS, Verdict.PASS], False, 0),
        ([Verdict.PASS, Verdict.FAIL, Verdict.INVALID], False, 1),
        ([Verdict.PASS, Verdict.INVALID], False, 3),
        ([Verdict.INCONCLUSIVE], False, 3),
        ([], False, 3),
        ([Verdict.PASS], True, 3),
    ],
)
def test_exit_codes_fail_closed(verdicts: list[Verdict], interrupted: bool, code: int) -> None:
    assert exit_code(verdicts, interrupted=interrupted) == code


def test_the_sentence_names_the_scenarios_that_failed(tmp_path: Path) -> None:
    assert "failed (The model is disabled" in sentence(run_folder(tmp_path, Verdict.FAIL))
