"""Measures containers that have a memory limit, and kills those above it, as a memory cgroup does.

What is charged is anonymous and shared memory of all processes of the container. The cheap measure (``statm``: all
resident pages) is an upper bound, so the exact one is taken only when that bound is above the limit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.embedded.node import watchdog

_PAGE = os.sysconf("SC_PAGE_SIZE")
_POLLS_PER_TREE_SCAN = 2


@dataclass(slots=True, eq=False)
class Charge:
    """A container under a limit.

    Attributes:
        roots: processes whose trees belong to the container: its main process, and commands run in it.
        limit: bytes.
        over_limit: called once, before the processes get SIGKILL.
    """

    limit: int
    over_limit: Callable[[], None]
    roots: set[int] = field(default_factory=set)
    _statm: dict[int, int] = field(default_factory=dict)
    _killed: bool = False

    def scan_tree(self) -> None:
        """Look for new and gone processes."""
        pids = {pid for root in self.roots for pid in process_tree(root)}
        for pid in self._statm.keys() - pids:
            os.close(self._statm.pop(pid))
        for pid in pids - self._statm.keys():
            try:
                self._statm[pid] = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue

    def check(self) -> None:
        """Measure once, and kill above the limit."""
        if self._killed or sum(map(_resident, self._statm.values())) <= self.limit:
            return
        if charged_bytes(self._statm) > self.limit:
            self._killed = True
            self.over_limit()
            for pid in self._statm:
                watchdog.kill(pid)

    def close(self) -> None:
        for descriptor in self._statm.values():
            os.close(descriptor)
        self._statm.clear()


class MemoryMonitor:
    """Polls all charges; rests while there are none."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._charges: set[Charge] = set()
        self._wanted = asyncio.Event()

    def add(self, charge: Charge) -> None:
        charge.scan_tree()
        self._charges.add(charge)
        self._wanted.set()

    def remove(self, charge: Charge) -> None:
        self._charges.discard(charge)
        charge.close()
        if not self._charges:
            self._wanted.clear()

    async def run(self) -> None:
        """Poll until cancelled."""
        polls = 0
        while True:
            await self._wanted.wait()
            polls += 1
            for charge in list(self._charges):
                if polls % _POLLS_PER_TREE_SCAN == 0:
                    charge.scan_tree()
                charge.check()
            await asyncio.sleep(self._poll_seconds)


def charged_bytes(pids: dict[int, int]) -> int:
    """Anonymous plus shared memory of the processes; pages that several of them share count once."""
    measure = _exclusive_bytes if len(pids) == 1 else _proportional_bytes
    return sum(map(measure, pids))


def _resident(descriptor: int) -> int:
    try:
        return int(os.pread(descriptor, 128, 0).split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _exclusive_bytes(pid: int) -> int:
    return _sum_kilobytes(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:"))


def _proportional_bytes(pid: int) -> int:
    return _sum_kilobytes(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))


def _sum_kilobytes(path: str, keys: tuple[bytes, ...]) -> int:
    try:
        with open(path, "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(keys))
    except OSError:
        return 0


def process_tree(root: int) -> set[int]:
    """A process and its descendants."""
    found: set[int] = set()
    _collect(root, found)
    return found


def _collect(pid: int, found: set[int]) -> None:
    """Add a process and its descendants."""
    found.add(pid)
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for task in tasks:
        for child in _children(pid, task):
            if child not in found:
                _collect(child, found)


def _children(pid: int, task: str) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []
