"""Conducts a run from nothing to a report: cluster, charts, load, features, verdicts, evidence; and cleans up."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clients.errors import EnvironmentUnusable, InputError
from cluster.provider import Cluster
from gameday import pytest_plugin
from gameday.bundle import collect_cluster_evidence
from gameday.charts import render
from gameday.experiment import check_experiment, find_experiment
from gameday.features import check_features, load_steps
from gameday.progress import Progress
from gameday.providers import ClusterRequest, running_cluster
from gameday.pytest_plugin import GameDayPlugin
from gameday.remediators import RemediatorFactory
from gameday.report import render as render_report
from gameday.report import sentence
from gameday.results import RunSummary, ScenarioResult, write_junit, write_summary
from gameday.session import GameDay, Subject, values_of
from gameday.slo import Slo
from gameday.timeline import Timeline
from load.profile import LoadProfile


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything a run is asked for.

    Attributes:
        features: feature files.
        runs: the folder that the run folder is made in.
    """

    features: tuple[Path, ...]
    cluster: ClusterRequest
    subject: Subject
    slo: Slo
    profile: LoadProfile
    remediator: RemediatorFactory
    runs: Path
    keep_cluster: bool = False


def run(request: RunRequest, console: Console) -> int:
    """Run a game day; returns its exit code.

    Raises GamedayError when the run could not begin (exit code 2). A Ctrl-C rolls back, stops every process, and still
    leaves a report.
    """
    _check(request)
    folder = _new_folder(request.runs)
    progress = Progress(console)
    with _OneInterrupt(progress) as interrupt:
        started = time.monotonic()
        timeline = Timeline(folder / "timeline.jsonl")
        results: list[ScenarioResult] = []
        try:
            timeline.add("run", "started")
            progress.start()
            _conduct(request, folder, timeline, progress, results)
        except KeyboardInterrupt:
            timeline.add("run", "interrupted")
        finally:
            interrupt.disarm()
            progress.stop()
            timeline.add("run", "ended")
            timeline.close()
        interrupted = interrupt.seen or any(event.name == "interrupted" for event in timeline.events)
        return _conclude(request, folder, results, started, interrupted, console)


def _conduct(
    request: RunRequest, folder: Path, timeline: Timeline, progress: Progress, results: list[ScenarioResult]
) -> None:
    """Everything between an empty folder and complete evidence; results are added as scenarios end."""
    progress.phase("start the cluster")
    with running_cluster(request.cluster, folder / "cluster-state", keep=request.keep_cluster) as cluster:
        day = _session(request, folder, timeline, progress, cluster)
        try:
            _play(day, GameDayPlugin(day, results), request.features)
        finally:
            collect_cluster_evidence(cluster.kubeconfig, request.subject.namespace, folder / "cluster")
            progress.status.scenario = ""
            progress.phase("clean up")
            if request.cluster.kubeconfig is not None and not request.keep_cluster:
                day.uninstall()


def _play(day: GameDay, plugin: GameDayPlugin, features: Sequence[Path]) -> None:
    """Install, load, run the features. Raises KeyboardInterrupt when a person interrupted."""
    try:
        day.install()
        day.begin()
        _run_pytest(plugin, features, day.folder)
    finally:
        day.end()
    if plugin.interrupted:
        raise KeyboardInterrupt
    if plugin.collection_errors:
        raise InputError("a feature cannot be run: " + "; ".join(plugin.collection_errors), where=_names(features))


def _run_pytest(plugin: GameDayPlugin, features: Sequence[Path], folder: Path) -> None:
    """Run the features with pytest-bdd in this process; pytest's own output goes to a file in the run folder."""
    pytest_plugin.FEATURES[:] = [path.resolve() for path in features]
    sys.modules.pop("steps.test_features", None)
    module = Path(pytest_plugin.__file__).parent.parent / "steps" / "test_features.py"
    plugins = ["no:cacheprovider", "no:pytest-kind", "no:locust", *load_steps(features)]
    arguments = [
        *(str(module), "-q", "--no-header", "--capture=sys", "-o", "addopts=", "-c", os.devnull),
        *("--rootdir", str(module.parent.parent)),
        *(part for name in plugins for part in ("-p", name)),
    ]
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            pytest.main(arguments, plugins=[plugin])
    finally:
        (folder / "pytest.log").write_text(output.getvalue())


def _session(request: RunRequest, folder: Path, timeline: Timeline, progress: Progress, cluster: Cluster) -> GameDay:
    return GameDay(
        folder=folder,
        subject=request.subject,
        slo=request.slo,
        profile=request.profile,
        timeline=timeline,
        progress=progress,
        make_remediator=request.remediator,
        cluster=cluster,
    )


def _check(request: RunRequest) -> None:
    """Look at all input before anything is started. Raises InputError."""
    experiments = check_features(request.features)
    for name in experiments:
        check_experiment(find_experiment(name))
    subject = request.subject
    for chart, values, release in (
        (subject.platform_chart, subject.platform_values, subject.platform_release),
        (subject.chart, subject.values, subject.release),
    ):
        if not (chart / "Chart.yaml").is_file():
            raise InputError("there is no chart", where=str(chart), remedy="give the folder that holds Chart.yaml")
        render(chart, release, subject.namespace, values_of(values))


def _conclude(
    request: RunRequest,
    folder: Path,
    results: list[ScenarioResult],
    started_seconds: float,
    interrupted: bool,
    console: Console,
) -> int:
    summary = RunSummary(
        run_id=folder.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        started_seconds=started_seconds,
        ended_seconds=time.monotonic(),
        environment=_environment(request),
        slo={key: float(value) for key, value in request.slo.model_dump().items()},
        scenarios=results,
        interrupted=interrupted,
    )
    write_summary(summary, folder)
    write_junit(summary, folder)
    report = render_report(folder)
    style = "bold green" if summary.exit_code == 0 else "bold red" if summary.exit_code == 1 else "bold yellow"
    console.print(sentence(summary), style=style, soft_wrap=True)
    console.print(f"report  {report}", soft_wrap=True)
    return summary.exit_code


class _OneInterrupt:
    """The first Ctrl-C (or SIGTERM) ends the run in order; further ones are answered while it cleans up.

    Attributes:
        seen: whether there was one.
    """

    def __init__(self, progress: Progress) -> None:
        self.seen = False
        self._armed = True
        self._progress = progress
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _OneInterrupt:
        self._previous = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def disarm(self) -> None:
        """From here on there is nothing left to interrupt: the report is written in any case."""
        self._armed = False

    def _interrupt(self, *_: object) -> None:
        if self.seen or not self._armed:
            self._progress.say("still cleaning up and writing the report; this ends by itself", "yellow")
            return
        self.seen = True
        self._progress.say("interrupted: rolling back, stopping every process, writing the report", "yellow")
        raise KeyboardInterrupt


def _new_folder(runs: Path) -> Path:
    """A run folder that nobody else has."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = runs / f"{stamp}-{uuid.uuid4().hex[:4]}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise EnvironmentUnusable(
            f"cannot make the run folder: {error.strerror}", where=str(folder), remedy="give --runs a writable folder"
        ) from error
    return folder.resolve()


def _environment(request: RunRequest) -> dict[str, str]:
    subject, profile = request.subject, request.profile
    return {
        "cluster": request.cluster.provider,
        "chart": subject.chart.name,
        "values": _names(subject.values),
        "release": f"{subject.namespace}/{subject.release}",
        "model": f"{subject.model} ({subject.environment})",
        "load": f"{profile.rate_per_second:g} requests/s, {profile.arrivals}, seed {profile.seed}",
        "remediation": f"{request.remediator.__module__}:{request.remediator.__name__}",
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
    }


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)
