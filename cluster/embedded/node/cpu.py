"""Holds containers to their CPU limit, as CFS bandwidth control does, where no control group can be written.

The CPU time of a container's processes is measured; a container that used up its share is stopped (SIGSTOP) until time
has earned it new CPU time. Time that was not used is kept for one period of 100 ms at most, as in the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cluster.embedded.node import watchdog
from cluster.embedded.node.memory import process_tree

_PERIOD_SECONDS = 0.1
_POLL_SECONDS = 0.02
_IDLE_SHARE = 0.1
_NANOSECONDS = 1e-9


@dataclass(slots=True, eq=False)
class Quota:
    """A container under a CPU limit.

    Attributes:
        cores: CPU seconds it may use in a second.
        roots: processes whose trees belong to the container.
        used_seconds: CPU time of the container so far.
        throttled_seconds: how long it was stopped so far.
    """

    cores: float
    roots: set[int] = field(default_factory=set)
    used_seconds: float = 0.0
    throttled_seconds: float = 0.0
    _balance_seconds: float = 0.0
    _looked_at: float = 0.0
    _due: float = 0.0
    _stopped: bool = False
    _seen: dict[tuple[int, str], int] = field(default_factory=dict)

    def check(self, now: float) -> None:
        """Measure, if it is time to, and stop or continue the container."""
        if now < self._due:
            return
        pids = {pid for root in self.roots for pid in process_tree(root)}
        if not self._looked_at:  # what was spent before the program was executed is not the container's
            self._seen, self._looked_at = dict(_spent(pids)), now
            return
        elapsed, self._looked_at = now - self._looked_at, now
        used = self._used_since(pids)
        earned = min(self._balance_seconds + self.cores * elapsed, self.cores * _PERIOD_SECONDS)
        self._balance_seconds = earned - used
        if self._stopped:
            self.throttled_seconds += elapsed
        self._apply(pids, stop=self._balance_seconds < 0)
        is_idle = not self._stopped and used < _IDLE_SHARE * self.cores * elapsed
        self._due = now + (_PERIOD_SECONDS if is_idle else _POLL_SECONDS)

    def release(self) -> None:
        """Continue what is stopped."""
        self._apply({pid for root in self.roots for pid in process_tree(root)}, stop=False)

    def _apply(self, pids: set[int], *, stop: bool) -> None:
        if stop or self._stopped:
            for pid in pids:
                watchdog.kill(pid, signal.SIGSTOP if stop else signal.SIGCONT)
        self._stopped = stop

    def _used_since(self, pids: set[int]) -> float:
        """CPU seconds since the last look."""
        now = dict(_spent(pids))
        used = sum(spent - self._seen.get(key, 0) for key, spent in now.items()) * _NANOSECONDS
        self._seen = now
        self.used_seconds += used
        return used


class CpuMonitor:
    """Holds all containers with a limit to it; rests while there are none."""

    def __init__(self) -> None:
        self._quotas: set[Quota] = set()
        self._wanted = asyncio.Event()

    def add(self, quota: Quota) -> None:
        self._quotas.add(quota)
        self._wanted.set()

    def remove(self, quota: Quota) -> None:
        self._quotas.discard(quota)
        quota.release()
        if not self._quotas:
            self._wanted.clear()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._wanted.wait()
            now = time.monotonic()
            for quota in list(self._quotas):
                quota.check(now)
            await asyncio.sleep(_POLL_SECONDS)


def can_exceed(cores: float | None) -> bool:
    """Whether a limit is below what the machine has, so that somebody has to hold a container to it."""
    return cores is not None and cores < len(os.sched_getaffinity(0))


def _spent(pids: Iterable[int]) -> Iterator[tuple[tuple[int, str], int]]:
    """CPU nanoseconds of each thread of the processes."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                    yield (pid, thread), int(file.read().split()[0])
