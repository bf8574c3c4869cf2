"""Runs the `gameday` command as its user does, and looks for what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent


def command(*arguments: str | Path) -> list[str]:
    """The command line of `gameday`."""
    return [sys.executable, "-m", "gameday.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    """An environment in which the project and its tests can be imported."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def gameday(*arguments: str | Path, cwd: Path, timeout_seconds: float = 100) -> subprocess.CompletedProcess[str]:
    """Run `gameday` to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        stdin=subprocess.DEVNULL,
    )


def run_folder(cwd: Path) -> Path:
    """The one run folder below a working folder."""
    (folder,) = (cwd / "runs").iterdir()
    return folder


def summary(cwd: Path) -> dict[str, Any]:
    """The summary of the run."""
    content: dict[str, Any] = json.loads((run_folder(cwd) / "summary.json").read_text())
    return content


def timeline(folder: Path) -> list[dict[str, Any]]:
    """The events so far."""
    path = folder / "timeline.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def leftovers(folder: Path) -> list[str]:
    """Command lines of processes that have to do with a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            text = " ".join(words)
            mentions = str(folder) in text or any(str(folder) in value for value in process.environ().values())
        except psutil.Error:
            continue
        is_pytest = any(Path(word).name == "pytest" for word in words)  # not: a path below pytest's temporary folder
        if mentions and process.pid != os.getpid() and not is_pytest:
            found.append(text)
    return found


def wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a condition holds; fails the test when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
