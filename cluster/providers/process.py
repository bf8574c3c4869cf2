"""Starts and stops the process of a cluster, whichever program that is."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import psutil

from clients.errors import DeadlineExceeded, EnvironmentUnusable, InputError
from cluster.embedded.config import ClusterConfig
from cluster.embedded.persistence import FILE as STATE_FILE
from cluster.embedded.persistence import read as read_state
from cluster.provider import Cluster, ClusterStatus

STOP_SECONDS = 25.0
_MODULES = ("cluster.embedded.server", "cluster.envtest.server")
"""The programs that a state folder may belong to."""


@dataclass(frozen=True, slots=True)
class ProcessProvider:
    """Clusters that live and die with one process, which writes ``cluster.json`` once they serve.

    Attributes:
        kind: the provider's name.
        module: the program.
        start_seconds: how long it may take until it serves.
        persistent: whether a cluster that was left running keeps its objects when it stops.
        image_map: which programs images stand for.
        config: nodes and settings; the defaults when None.
        port: of the API server; a free one when 0.
    """

    kind: ClassVar[str]
    module: ClassVar[str]
    start_seconds: ClassVar[float]
    persistent: ClassVar[bool] = False
    image_map: Path | None = None
    config: Path | None = None
    port: int = 0

    def up(self, name: str, *, state_dir: Path, detached: bool) -> Cluster:
        """Start a cluster. Unless detached, it ends with this process, however this process ends."""
        if self.config is not None:
            ClusterConfig.load(self.config)
        running = self.status(state_dir)
        if running is not None and running.running:
            raise InputError(
                "a cluster of that name runs already", where=name, remedy=f"use it, or: gameday cluster down {name}"
            )
        if detached and self.persistent:
            read_state(state_dir)
        state_dir.mkdir(parents=True, exist_ok=True)
        state_dir.chmod(0o700)
        (state_dir / "cluster.json").unlink(missing_ok=True)
        process = replace(self, config=_kept_config(self.config, state_dir))._spawn(name, state_dir, detached)
        _await_ready(process, state_dir, self.start_seconds)
        return Cluster(name, self.kind, state_dir / "kubeconfig", state_dir, frozenset({"direct-service-addresses"}))

    def down(self, state_dir: Path) -> None:
        """Stop the cluster's process; its containers die with it."""
        running = self.status(state_dir)
        if running is None or not running.running:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(running.pid)
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        (state_dir / "cluster.json").unlink(missing_ok=True)

    def status(self, state_dir: Path) -> ClusterStatus | None:
        """What ``cluster.json`` says, checked against the process of that number; or that a cluster is stopped."""
        try:
            content = json.loads((state_dir / "cluster.json").read_text())
        except (OSError, ValueError):
            return _stopped(state_dir)
        return ClusterStatus(
            name=content["name"],
            running=_is_ours(int(content["pid"]), state_dir),
            server=content["server"],
            pid=int(content["pid"]),
            started=float(content["started"]),
            state_dir=state_dir,
        )

    def _spawn(self, name: str, state_dir: Path, detached: bool) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", self.module, "--state-dir", str(state_dir), "--name", name]
        if self.image_map is not None:
            command += ["--image-map", str(self.image_map)]
        if self.config is not None:
            command += ["--config", str(self.config)]
        if self.port:
            command += ["--port", str(self.port)]
        if not detached:
            command.append("--die-with-parent")
        elif self.persistent:
            command.append("--persistent")
        with (state_dir / "server.log").open("wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )


def _kept_config(config: Path | None, state_dir: Path) -> Path | None:
    """The cluster's own copy of its configuration, which it is started with again when none is given."""
    own = state_dir / "config.yaml"
    if config is not None:
        shutil.copyfile(config, own)
    return own if own.exists() else None


def _stopped(state_dir: Path) -> ClusterStatus | None:
    """A cluster whose process has ended and whose objects are kept."""
    try:
        kept = (state_dir / STATE_FILE).stat()
    except OSError:
        return None
    return ClusterStatus(state_dir.name, False, "", 0, kept.st_mtime, state_dir)


def _await_ready(process: subprocess.Popen[bytes], state_dir: Path, start_seconds: float) -> None:
    """Wait until the process serves. Raises EnvironmentUnusable with the end of its log when it dies instead."""
    deadline = time.monotonic() + start_seconds
    end = os.pidfd_open(process.pid)
    try:
        while not (state_dir / "cluster.json").exists():
            died, _, _ = select.select([end], [], [], 0.01)
            if died:
                process.wait()
                raise EnvironmentUnusable(_last_words(state_dir), where="cluster")
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGKILL)
                process.wait()
                raise DeadlineExceeded(
                    f"the cluster did not serve within {start_seconds:.0f} s",
                    where=str(state_dir / "server.log"),
                )
    except BaseException:
        if process.poll() is None:
            process.terminate()
            process.wait()
        raise
    finally:
        os.close(end)


def _last_words(state_dir: Path) -> str:
    lines = (state_dir / "server.log").read_text(errors="replace").strip().splitlines()
    errors = [line.split(" cluster: ", 1)[-1] for line in lines if " ERROR " in line]
    return errors[-1] if errors else "it ended at once: " + " | ".join(lines[-3:])


def _is_ours(pid: int, state_dir: Path) -> bool:
    """Whether the process of that number is the cluster of that folder, and not a later one with the same number."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return any(module in command for module in _MODULES) and str(state_dir) in command
