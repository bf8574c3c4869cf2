"""The command line: ``python -m benchmarks [NAME ...] [--runs N] [--write]``.

Exit code 0 when everything was measured, whether or not targets were met: the table says that. 2 when something could
not be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks import api, cluster_start, decision, gameday_run, idle_cpu, install, load_fidelity, scale
from benchmarks.result import Benchmark, Outcome
from benchmarks.table import notes, table
from clients.errors import GamedayError

RESULTS = Path(__file__).resolve().parent / "results.md"
EXIT_UNUSABLE = 2
BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (cluster_start, install, gameday_run, load_fidelity, idle_cpu, api, scale, decision)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were named, or all, and print one table; returns the exit code."""
    options = _parse(arguments)
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for name in options.names or BENCHMARKS:
        try:
            outcomes.append(_run(BENCHMARKS[name], options.runs))
        except (GamedayError, psutil.Error) as error:
            failures.append(f"{name} could not be measured: {error}")
            print(f"benchmarks: {failures[-1]}", file=sys.stderr)
    text = report(outcomes, failures)
    print(text)
    if options.write:
        RESULTS.write_text(f"# Benchmark results\n\n{text}\n")
    return EXIT_UNUSABLE if failures else 0


def report(outcomes: Sequence[Outcome], failures: Sequence[str]) -> str:
    """The table, how each value came about, and the machine, as Markdown."""
    parts = [table(outcomes), notes(outcomes), *(f"**{failure}**" for failure in failures), _machine()]
    return "\n\n".join(part for part in parts if part)


def _run(benchmark: Benchmark, runs: int | None) -> Outcome:
    before = os.getloadavg()[0]
    runs = runs or benchmark.default_runs
    print(f"{benchmark.name}: {runs} runs, load average {before:.2f} ...", file=sys.stderr, flush=True)
    results = tuple(benchmark.measure(runs))
    return Outcome(benchmark, results, before, os.getloadavg()[0])


def _machine() -> str:
    return (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}. "
        "Load average: of one minute, before and after the benchmark; it counts the benchmark itself."
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="measure what the project promises")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--runs", type=int, help="runs of each benchmark, instead of its own number")
    parser.add_argument("--write", action="store_true", help=f"also write {RESULTS.parent.name}/{RESULTS.name}")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
