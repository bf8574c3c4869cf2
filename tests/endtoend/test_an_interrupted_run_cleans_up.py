"""Ctrl-C at any moment: the experiment is rolled back, every process is stopped, the report is written."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.endtoend.harness import command, environment, leftovers, run_folder, summary, timeline, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(240)]


def seen(cwd: Path, kind: str, name: str) -> bool:
    """Whether the timeline of the run has an event."""
    if not (cwd / "runs").is_dir() or not any((cwd / "runs").iterdir()):
        return False
    return any((event["kind"], event["name"]) == (kind, name) for event in timeline(run_folder(cwd)))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("run", "started"), ("phase", "steady state"), ("mark", "injected"), ("phase", "remediate"), ("phase", "recover")],
)
def test_a_ctrl_c_rolls_back_and_still_reports(tmp_path: Path, kind: str, name: str) -> None:
    process = subprocess.Popen(
        command("run", "oom_crash_loop"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    def reached() -> bool:
        if process.poll() is not None:
            pytest.fail(f"the run ended before {kind} {name!r}: {process.communicate()[0]}")
        return seen(tmp_path, kind, name)

    try:
        wait_for(reached, seconds=120)
    except AssertionError:
        process.kill()
        pytest.fail(f"{kind} {name!r} never came: {process.communicate()[0]}")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the foreground group
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 3, output
    assert "Traceback" not in output
    folder = run_folder(tmp_path)
    assert (folder / "report.html").exists()
    assert summary(tmp_path)["interrupted"] is True
    if seen(tmp_path, "mark", "injected"):
        assert seen(tmp_path, "experiment", "rollbacks-ended")
        assert summary(tmp_path)["scenarios"][0]["verdict"] == "INVALID"
    assert leftovers(tmp_path) == []
