"""Runs a Chaos Toolkit experiment in a process of its own, held after its method while the remediation works."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clients.errors import DeadlineExceeded, InputError, OperationFailed
from gameday.extensions import ROOT, experiment_folders, make_local_activities_importable

EXPERIMENTS = ROOT / "experiments"
_CONTROL = {"gameday": {"provider": {"type": "python", "module": "gameday.chaos_control"}}}


@dataclass(frozen=True, slots=True)
class ExperimentEvent:
    """What the experiment told: ``name`` such as ``method-ended``, when (monotonic seconds), and details."""

    name: str
    at_seconds: float
    detail: dict[str, Any]


def known_experiments() -> tuple[str, ...]:
    """The names of all experiments: of the current folder, ours, and those of packages."""
    found = [path.stem for folder in experiment_folders() for path in sorted(folder.glob("*.yaml"))]
    return tuple(dict.fromkeys(found))


def find_experiment(name: str) -> Path:
    """The file of an experiment, by path or by name (see `extensions.experiment_folders`). Raises InputError."""
    named = [folder / f"{name}{suffix}" for folder in experiment_folders() for suffix in (".yaml", ".json")]
    for path in (Path(name), *named):
        if path.is_file():
            return path
    raise InputError(
        f"there is no experiment {name!r}",
        where=str(EXPERIMENTS),
        remedy=f"known are: {', '.join(sorted(known_experiments()))}",
    )


def check_experiment(path: Path) -> None:
    """Check that every activity of an experiment can be had, without running any. Raises InputError."""
    try:
        text = path.read_text()
        experiment = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"the experiment cannot be read: {error}", where=str(path)) from error
    if not isinstance(experiment, dict):
        raise InputError("the experiment is not a mapping", where=str(path))
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    make_local_activities_importable()
    try:
        ensure_experiment_is_valid(experiment)
    except ChaosException as error:
        remedy = "name a function that exists in provider.module and provider.func"
        raise InputError(f"the experiment is not valid: {error}", where=str(path), remedy=remedy) from error


class ExperimentRun:
    """One `chaos run`. Start it, wait for its method, let it go on to its rollbacks.

    Args:
        path: the experiment file.
        journal: where Chaos Toolkit writes its journal; its log goes beside it.
        environment: variables for the experiment's configuration (release, namespace, KUBECONFIG ...).
        listener: told of every event, from a thread.
    """

    def __init__(
        self,
        path: Path,
        journal: Path,
        environment: Mapping[str, str],
        listener: Callable[[ExperimentEvent], None],
    ) -> None:
        self._path = path
        self._journal = journal
        self._environment = environment
        self._listener = listener
        self._events: queue.Queue[ExperimentEvent] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._released = False

    def start(self) -> None:
        """Start the process."""
        ours, theirs = socket.socketpair()
        self._channel = ours
        control = self._journal.with_suffix(".control.yaml")
        control.write_text(yaml.safe_dump(_CONTROL))
        command = [
            *(sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"),
            *("--settings", str(self._journal.with_suffix(".settings.yaml")), "run"),
            *("--journal-path", str(self._journal), "--rollback-strategy", "always"),
            *("--control-file", str(control), str(self._path)),
        ]
        with self._journal.with_suffix(".log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={
                    **os.environ,
                    "PYTHONPATH": _python_path(),
                    **self._environment,
                    "GAMEDAY_HOLD_FD": str(theirs.fileno()),
                },
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        theirs.close()
        threading.Thread(target=self._listen, name="experiment-events", daemon=True).start()

    def wait_for(self, name: str, *, timeout_seconds: float) -> ExperimentEvent:
        """Wait for an event. Raises OperationFailed if the experiment ends first, or DeadlineExceeded."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise DeadlineExceeded(
                    f"the experiment did not reach {name!r} within {timeout_seconds:.0f} s", where=str(self._path)
                ) from None
            if event.name == name:
                return event
            if event.name == "ended":
                raise OperationFailed(
                    f"the experiment ended before {name!r}", where=str(self._path), remedy=self._last_log_lines()
                )

    def release(self) -> None:
        """Let the held experiment check its hypothesis and roll back."""
        self._say("go on")

    def abort(self) -> None:
        """End the experiment wherever it is: it goes straight to its rollbacks."""
        if self._process is None or self._process.poll() is not None:
            return
        self._say("abort")
        if not self._held:
            self._process.send_signal(signal.SIGUSR1)

    def finish(self, *, timeout_seconds: float) -> bool:
        """Wait until the process has ended; kill it after the timeout. Returns whether it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            return False
        return True

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    _held = False

    def _say(self, word: str) -> None:
        if self._channel is None or self._released:
            return
        self._released = True
        try:
            self._channel.sendall(word.encode() + b"\n")
        except OSError:
            return  # the experiment has ended already

    def _listen(self) -> None:
        assert self._channel is not None
        with self._channel.makefile("r") as lines:
            for line in lines:
                detail = json.loads(line)
                event = ExperimentEvent(detail.pop("event"), detail.pop("at_seconds"), detail)
                if event.name == "method-ended":
                    self._held = True
                self._publish(event)
        self._publish(ExperimentEvent("ended", time.monotonic(), {}))

    def _publish(self, event: ExperimentEvent) -> None:
        self._listener(event)
        self._events.put(event)

    def _last_log_lines(self) -> str:
        try:
            lines = self._journal.with_suffix(".log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        errors = [line for line in lines if "ERROR" in line or "CRITICAL" in line]
        return "; ".join((errors or lines)[-3:])


def _python_path() -> str:
    """Our packages come first: a folder experiments/ in the current one must not hide them (see `extensions`)."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
