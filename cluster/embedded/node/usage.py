"""Measures what containers use: CPU over a window, and memory, of their process trees."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cluster.embedded.apiserver.usage import ContainerUsage, NodeUsage, PodUsage
from cluster.embedded.node import podspec
from cluster.embedded.node.instance import Instance
from cluster.embedded.node.memory import charged_bytes, process_tree
from cluster.embedded.node.pod import PodWorker

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_FIRST_TIME_FIELD = 11
"""utime, stime, cutime and cstime in ``/proc/PID/stat``, counted from the state on (proc(5))."""


@dataclass(slots=True)
class _Measured:
    at: float
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    usage: ContainerUsage | None = None


class UsageMeter:
    """Looks at every running container once per window."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._measured: dict[str, _Measured] = {}
        self._windows = 0
        self._last = ContainerUsage(0, 0, time.time(), window_seconds)

    async def run(self, instances: Callable[[], Iterable[Instance]]) -> None:
        """Measure until cancelled."""
        while True:
            await self.look(list(instances()))
            await asyncio.sleep(self._window_seconds)

    async def look(self, instances: list[Instance]) -> None:
        """Measure each once; a container's first look only begins its window."""
        for instance in instances:
            if not instance.has_exited:
                self._look_at(instance)
            await asyncio.sleep(0)  # thousands of containers must not hold up the API
        alive = {instance.identity for instance in instances if not instance.has_exited}
        self._measured = {key: value for key, value in self._measured.items() if key in alive}
        self._last = self._sum()
        self._windows += 1

    def node(self, name: str, workers: Iterable[PodWorker]) -> NodeUsage | None:
        """The node and its pods; None before the first window has passed."""
        if self._windows < 2:
            return None
        pods = [usage for worker in workers if (usage := self._pod(worker))]
        return NodeUsage(name, self._last, pods)

    def _pod(self, worker: PodWorker) -> PodUsage | None:
        running = {
            name: runner.instance.identity
            for name, runner in worker.runners.items()
            if runner.instance is not None and not runner.instance.has_exited
        }
        found = {name: self._measured[key].usage for name, key in running.items() if key in self._measured}
        complete = {name: usage for name, usage in found.items() if usage is not None}
        if not complete or len(complete) < len(running):
            return None
        return PodUsage(podspec.namespace(worker.pod), podspec.name(worker.pod), complete)

    def _look_at(self, instance: Instance) -> None:
        now, trees = time.monotonic(), {root: process_tree(root) for root in instance.roots}
        spent = {root: sum(map(_cpu_seconds, tree)) for root, tree in trees.items()}
        before = self._measured.get(instance.identity)
        if before is None:
            self._measured[instance.identity] = _Measured(now, spent)
            return
        elapsed = now - before.at
        used = _increase(before.cpu_seconds, spent)
        memory = charged_bytes(dict.fromkeys(set().union(*trees.values()), 0))
        usage = ContainerUsage(round(used / elapsed * 1e9), memory, time.time(), elapsed)
        self._measured[instance.identity] = _Measured(now, spent, usage)

    def _sum(self) -> ContainerUsage:
        every = [measured.usage for measured in self._measured.values() if measured.usage]
        cpu, memory = sum(usage.cpu_nanocores for usage in every), sum(usage.memory_bytes for usage in every)
        return ContainerUsage(cpu, memory, time.time(), self._window_seconds)


def _increase(before: Mapping[int, float], now: Mapping[int, float]) -> float:
    """What the processes used since; a command that began in between counts whole."""
    return sum(max(0.0, seconds - before.get(root, 0.0)) for root, seconds in now.items())


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, and of its children that have ended; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[_FIRST_TIME_FIELD : _FIRST_TIME_FIELD + 4])) / _TICKS_PER_SECOND
