"""Memory and CPU time of processes, as the kernel accounts them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of several processes together. ``pss`` counts shared pages once, in shares."""

    rss: int
    pss: int


def memory_of(processes: Iterable[psutil.Process]) -> Memory:
    """Resident memory of processes together. Raises psutil.Error when one is gone."""
    found = [process.memory_full_info() for process in processes]
    return Memory(sum(info.rss for info in found), sum(info.pss for info in found))


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of one process since its start, in user and kernel, without its children's. Raises psutil.Error."""
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_shares(processes: dict[str, psutil.Process], seconds: float) -> dict[str, float]:
    """Shares of one core (0-1 each) that processes use in a window of so many seconds.

    Raises psutil.NoSuchProcess when a process ends in the window: what it used would be lost.
    """
    started = time.monotonic()
    before = {name: cpu_seconds(process) for name, process in processes.items()}
    time.sleep(seconds)  # the window of the measurement
    elapsed = time.monotonic() - started
    return {name: (cpu_seconds(process) - before[name]) / elapsed for name, process in processes.items()}


def own_processes(pid: int) -> list[psutil.Process]:
    """The cluster's process and its helpers (the watchdog), but no container."""
    server = psutil.Process(pid)
    return [server, *(child for child in server.children() if _is_helper(child))]


def container_processes(pid: int) -> dict[str, psutil.Process]:
    """The processes of a cluster's containers, named by pod and number."""
    helpers = {process.pid for process in own_processes(pid)}
    found: dict[str, psutil.Process] = {}
    for process in psutil.Process(pid).children(recursive=True):
        if process.pid not in helpers:
            name = _pod_of(process)
            found[f"{name} {process.pid}"] = process
    return found


def _is_helper(process: psutil.Process) -> bool:
    return any(part.endswith("cluster/embedded/node/watchdog.py") for part in process.cmdline())


def _pod_of(process: psutil.Process) -> str:
    environment = process.environ()
    return str(environment.get("HOSTNAME") or process.name())


@contextlib.contextmanager
def ended_at_exit(process: psutil.Popen) -> Iterator[psutil.Popen]:
    """End a process that was started here, whatever happens."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(15)
