"""How fast an embedded cluster serves after its process started, and how much memory it holds while idle."""

from __future__ import annotations

import contextlib
import ssl
import sys
import time
import urllib.error
import urllib.request
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks.platform import CONFIG, IMAGE_MAP, ROOT, scratch
from benchmarks.processes import Memory, ended_at_exit, memory_of, own_processes
from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median
from clients.errors import DeadlineExceeded, EnvironmentUnusable

START_SECONDS = 20.0
POLL_SECONDS = 0.002
IDLE_SECONDS = 3.0
REAL_START_SECONDS, REAL_MEGABYTES = 3.01, 510.0
"""etcd and kube-apiserver v1.36 from process start to /readyz, and with controller manager and scheduler the resident
memory: recorded on a machine with 2 cores, on loopback."""


@dataclass(frozen=True, slots=True)
class _Start:
    ready_seconds: float
    announced_seconds: float
    memory: Memory


def measure(runs: int) -> list[Result]:
    """Start clusters one after the other. Raises EnvironmentUnusable or DeadlineExceeded when one does not."""
    starts = [_start_once() for _ in range(runs)]
    announced = median([start.announced_seconds for start in starts])
    pss = median([start.memory.pss / 1e6 for start in starts])
    return [
        Result(
            "cluster start to /readyz",
            "s",
            tuple(start.ready_seconds for start in starts),
            Target("under", REAL_START_SECONDS / 8),
            REAL_START_SECONDS,
            "of etcd + kube-apiserver",
            (f"the DNS server runs and the cluster is announced (cluster.json) after {announced:.3f} s",),
        ),
        Result(
            "idle cluster memory (RSS)",
            "MB",
            tuple(start.memory.rss / 1e6 for start in starts),
            Target("under", 150),
            REAL_MEGABYTES,
            "of a real control plane",
            (f"PSS {pss:.0f} MB; server and watchdog together, {IDLE_SECONDS:g} s after the start",),
        ),
    ]


def _start_once() -> _Start:
    with scratch() as folder:
        with (folder / "server.log").open("wb") as log:
            started = time.monotonic()
            process = psutil.Popen(_command(folder), cwd=ROOT, stdout=log, stderr=log)
        with ended_at_exit(process):
            deadline = started + START_SECONDS
            server, context = _credentials(process, folder, deadline)
            while not _is_ready(server, context):
                _pause(process, folder, deadline)
            ready = time.monotonic() - started
            while not (folder / "cluster.json").exists():
                _pause(process, folder, deadline)
            announced = time.monotonic() - started
            time.sleep(IDLE_SECONDS)  # lets it become idle; part of what is measured
            return _Start(ready, announced, memory_of(own_processes(process.pid)))


def _command(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "cluster.embedded.server", "--state-dir", str(folder), "--name", folder.name]
    return [*command, "--image-map", str(IMAGE_MAP), "--config", str(CONFIG), "--die-with-parent"]


def _credentials(process: psutil.Popen, folder: Path, deadline_seconds: float) -> tuple[str, ssl.SSLContext]:
    """Server and trust from the kubeconfig, as soon as it is whole."""
    while True:
        with contextlib.suppress(OSError, TypeError, KeyError, ValueError, yaml.YAMLError):
            cluster = yaml.safe_load((folder / "kubeconfig").read_bytes())["clusters"][0]["cluster"]
            authority = b64decode(cluster["certificate-authority-data"], validate=True).decode()
            return cluster["server"], ssl.create_default_context(cadata=authority)
        _pause(process, folder, deadline_seconds)


def _is_ready(server: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(f"{server}/readyz", context=context, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _pause(process: psutil.Popen, folder: Path, deadline_seconds: float) -> None:
    if process.poll() is not None:
        end = (folder / "server.log").read_text(errors="replace").strip()[-300:]
        raise EnvironmentUnusable(f"the cluster ended with code {process.returncode}: {end}", where="cluster start")
    if time.monotonic() > deadline_seconds:
        raise DeadlineExceeded(f"the cluster did not serve within {START_SECONDS:g} s", where="cluster start")
    time.sleep(POLL_SECONDS)


BENCHMARK = Benchmark(
    "cluster-start",
    "a process `cluster.embedded.server` with the game day's nodes and images, /readyz polled over TLS every 2 ms; "
    "then its memory while idle",
    7,
    measure,
)
