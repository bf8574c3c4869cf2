"""How long a whole game day of two features takes, from the command to the report."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.platform import ROOT, scratch
from benchmarks.result import Benchmark, Result, Target
from clients.errors import DeadlineExceeded, OperationFailed

FEATURES = ("oom_crash_loop", "registry_disabled")
LIMIT_SECONDS = 300


def measure(runs: int) -> list[Result]:
    """Run the game day.

    Raises OperationFailed when it does not pass (the time of a failed run says nothing), or DeadlineExceeded.
    """
    names = " ".join(f"features/{name}.feature" for name in FEATURES)
    return [
        Result(
            "game day of two features",
            "s",
            tuple(_run_once() for _ in range(runs)),
            Target("under", 60.0),
            details=(f"`gameday run {names}`, with cluster, charts, load, remediation and report; every run passed",),
        )
    ]


def _run_once() -> float:
    features = [str(ROOT / "features" / f"{name}.feature") for name in FEATURES]
    with scratch() as folder:
        command = [sys.executable, "-m", "gameday.cli", "run", *features, "--runs", str(folder)]
        started = time.monotonic()
        try:
            ended = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(f"the game day took longer than {LIMIT_SECONDS} s", where="gameday run") from None
        seconds = time.monotonic() - started
    if ended.returncode != 0:
        output = (ended.stdout + ended.stderr).strip()[-600:]
        raise OperationFailed(f"the game day ended with code {ended.returncode}: {output}", where="gameday run")
    return seconds


BENCHMARK = Benchmark("gameday", "wall-clock time of the command `gameday run` with two features", 3, measure)
