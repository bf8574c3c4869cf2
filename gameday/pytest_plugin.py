"""Runs features with pytest-bdd inside a game day: fixtures for the steps, and a verdict for every scenario.

The conductor hands an instance of `GameDayPlugin` to `pytest.main`; the features to run are bound in
``steps/test_features.py``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.judge import Verdict
from gameday.results import ScenarioResult
from gameday.scenario import NothingProven, ScenarioRun
from gameday.session import GameDay

FEATURES: list[Path] = []
"""The feature files of the run; set by the conductor before pytest collects."""


class GameDayPlugin:
    """Owns the scenarios of one run.

    Attributes:
        results: one per scenario that was started, in order.
    """

    def __init__(self, day: GameDay, results: list[ScenarioResult]) -> None:
        self.results = results
        self.collection_errors: list[str] = []
        self.interrupted = False
        self._day = day
        self._failures: list[str] = []
        self._unproven: str = ""
        self._current: tuple[str, str] = ("", "")

    @pytest.fixture
    def run(self) -> Iterator[ScenarioRun]:
        """The running scenario; it is rolled back and judged when the feature's last step is done."""
        run = ScenarioRun(self._day, *self._current)
        self._failures, self._unproven = [], ""
        self._day.progress.status.scenario = run.name
        self._day.timeline.add("run", "scenario-started", scenario=run.name)
        try:
            yield run
        finally:
            self._conclude(run)

    def pytest_bdd_before_scenario(self, request: pytest.FixtureRequest, feature: Any, scenario: Any) -> None:
        """Begin a scenario, so that it has a verdict even when its first step cannot be run."""
        self._current = (feature.name, scenario.name)
        request.getfixturevalue("run")

    def pytest_bdd_apply_tag(self, tag: str, function: Any) -> bool:
        """Tags name runbook sections; they are no pytest marks."""
        return True

    def pytest_bdd_before_step(self, step: Any) -> None:
        """Put every step on the timeline."""
        self._day.timeline.add("step", step.name, scenario=self._day.progress.status.scenario, keyword=step.keyword)

    def pytest_bdd_step_error(self, step: Any, exception: BaseException) -> None:
        """Note which claim did not hold."""
        if isinstance(exception, NothingProven):
            self._unproven = str(exception)
        elif not isinstance(exception, KeyboardInterrupt):
            text = str(exception).split("\nassert ")[0].strip() or type(exception).__name__
            self._failures.append(f"{step.keyword} {step.name}: {text}")

    def pytest_bdd_step_func_lookup_error(self, step: Any, exception: Exception) -> None:
        """A step that nobody defined is an error of the feature."""
        self._failures.append(f"{step.keyword} {step.name}: no step definition matches")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why features could not be read."""
        if report.failed:
            self.collection_errors.append(str(report.longrepr).strip().splitlines()[-1])

    def pytest_keyboard_interrupt(self) -> None:
        """A Ctrl-C ends the run; what was seen is still judged and reported."""
        self.interrupted = True

    def _conclude(self, run: ScenarioRun) -> None:
        judgement = run.judged(self._failures)
        verdict, reasons = judgement.verdict, judgement.reasons
        if self.interrupted:
            verdict, reasons = Verdict.INVALID, ("interrupted", *reasons)
        elif self._unproven:
            verdict, reasons = Verdict.INVALID, (self._unproven, *self._failures)
        if "injected" in run.marks and run.outcome is not None:
            run.write_postmortem()
        ended = time.monotonic()
        self.results.append(
            ScenarioResult(
                feature=run.feature,
                name=run.name,
                verdict=verdict,
                reasons=tuple(reasons),
                started_seconds=run.started_seconds,
                ended_seconds=ended,
                marks=dict(run.marks),
                numbers=judgement.numbers,
                decision=run.decision_summary(),
            )
        )
        self._day.timeline.add("verdict", verdict.value, scenario=run.name, reasons=list(reasons))
        self._announce(run.name, verdict, reasons)
        run.stop(interrupted=self.interrupted)

    def _announce(self, name: str, verdict: Verdict, reasons: tuple[str, ...]) -> None:
        style = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red"}.get(verdict, "bold yellow")
        self._day.progress.say(f"{verdict.value:<13}{name}", style)
        if verdict is not Verdict.PASS:
            for reason in reasons:
                self._day.progress.say(f"             {reason}")
