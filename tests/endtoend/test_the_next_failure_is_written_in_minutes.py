"""Writing the next failure: what `gameday new scenario` writes runs as it is, and so does the page that explains it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endtoend.harness import ROOT, environment, gameday, leftovers, summary
from tests.endtoend.worked_example import play

pytestmark = [pytest.mark.cluster, pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(240)]


def verdicts(folder: Path) -> set[str]:
    """The verdicts of all runs below a folder."""
    found = set()
    for run in (folder / "runs").iterdir():
        text = (run / "summary.json").read_text()
        found.update(re.findall(r'"verdict": "(\w+)"', text))
    return found


def test_every_kind_of_new_scenario_is_green_as_it_is(tmp_path: Path) -> None:
    for kind in ("pod-killed", "bad-values", "registry-disabled", "slow-network"):
        name = f"my_{kind.replace('-', '_')}"
        assert gameday("new", "scenario", name, "--experiment", kind, cwd=tmp_path).returncode == 0
    played = gameday("run", "features", cwd=tmp_path, timeout_seconds=200)
    assert played.returncode == 0, played.stdout + played.stderr
    assert [one["verdict"] for one in summary(tmp_path)["scenarios"]] == ["PASS"] * 4
    assert leftovers(tmp_path) == []


def test_the_test_that_comes_with_it_passes(tmp_path: Path) -> None:
    assert gameday("new", "scenario", "gpu_fan_stops", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_gpu_fan_stops.py"]
    tested = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=150)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 passed" in tested.stdout


def test_a_new_scenario_whose_fault_does_nothing_is_invalid(tmp_path: Path) -> None:
    assert gameday("new", "scenario", "gpu_fan_stops", cwd=tmp_path).returncode == 0
    experiment = tmp_path / "experiments" / "gpu-fan-stops.yaml"
    text = experiment.read_text().replace("qty: 1", "qty: 0")
    experiment.write_text(text.replace("timeout_seconds: 20}\n# What undoes", "timeout_seconds: 4}\n# What undoes"))
    played = gameday("run", "gpu_fan_stops.feature", cwd=tmp_path)
    assert played.returncode == 3, played.stdout + played.stderr
    (scenario,) = summary(tmp_path)["scenarios"]
    assert scenario["verdict"] == "INVALID"
    assert "no proven effect" in scenario["reasons"][0]


def test_the_worked_example_of_the_documentation_runs_as_written(tmp_path: Path) -> None:
    def command(line: str) -> None:
        program, *arguments = shlex.split(line)
        assert program == "gameday"
        done = gameday(*arguments, cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    assert play(ROOT / "docs" / "writing-a-scenario.md", tmp_path, command) == 4
    assert verdicts(tmp_path) == {"PASS"}
    feature = tmp_path / "features" / "pod_evicted.feature"
    feature.write_text(feature.read_text().replace("at most 5 %", "at most -1 %"))
    broken = gameday("run", "pod_evicted", cwd=tmp_path)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "of the requests fail" in broken.stdout
