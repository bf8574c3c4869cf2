"""Bad input to `steps`, `lint`, `new` and `coverage`: exit code 2, a clear message, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.endtoend.harness import environment


def refused(folder: Path, *arguments: str) -> tuple[str, str]:
    """Run and check the form of the refusal; returns output and message."""
    command = [sys.executable, "-m", "gameday.cli", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, (result.stdout, result.stderr)
    assert "Traceback" not in result.stdout + result.stderr
    return result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("steps", "nosuchword"), "gameday: nosuchword: no step contains this text"),
        (("lint",), "there is nothing to check"),
        (("lint", "nosuch"), "gameday: nosuch: there is no such file or folder"),
        (("new", "scenario", "No Name"), "gameday: NAME: 'No Name' is no name of a scenario"),
        (("new", "scenario", "oom_crash_loop"), "gameday: oom_crash_loop.feature: there is a feature of this name"),
    ],
)
def test_one_line_says_what_and_where(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    _, message = refused(tmp_path, *arguments)
    (line,) = message.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("steps", "--format", "xml"), "--format"),
        (("coverage", "--format", "xml"), "--format"),
        (("new", "scenario"), "Missing argument"),
        (("new", "scenario", "x", "--experiment", "flood"), "pod-killed"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(tmp_path, *arguments)[1]


def test_problems_go_to_the_output_and_their_number_to_the_error(tmp_path: Path) -> None:
    (tmp_path / "x.feature").write_text("Feature: x\n  Scenario: s\n    Then the moon is full\n    And it rains cats\n")
    output, message = refused(tmp_path, "lint")
    assert [line.split(" ")[0] for line in output.splitlines()] == ["x.feature:3:", "x.feature:4:"]
    assert message == "2 problems in 1 file\n"


def test_a_run_of_a_feature_with_an_unknown_step_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "x.feature").write_text("Feature: x\n  Scenario: s\n    Then the service recovers in 5 seconds\n")
    _, message = refused(tmp_path, "run", "x.feature")
    assert "x.feature:3: no step definition matches" in message
    assert "did you mean: Then the service recovers within <seconds> seconds" in message


def test_a_run_of_an_outline_with_an_unknown_step_in_one_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.feature").write_text(
        "Feature: x\n  Scenario Outline: s\n    Then <what>\n"
        "    Examples:\n      | what |\n      | it changes no Helm release |\n      | it rains |\n"
    )
    assert "x.feature:3: no step definition matches: Then it rains" in refused(tmp_path, "run", "x.feature")[1]


def test_a_run_of_two_scenarios_of_one_name_is_refused(tmp_path: Path) -> None:
    scenario = "  Scenario: s\n    Then it changes no Helm release\n"
    (tmp_path / "x.feature").write_text(f"Feature: x\n{scenario}{scenario}")
    assert "x.feature:4: there is another scenario 's' in line 2" in refused(tmp_path, "run", "x.feature")[1]
