"""Starts container processes so that none of them outlives the cluster process, and tells when they end."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cluster.embedded.node import watchdog

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_SIGTERM_BIT = 1 << (signal.SIGTERM - 1)


@dataclass(slots=True, eq=False)
class Running:
    """A process in a session of its own.

    Attributes:
        identity: the container the process belongs to.
        exited: done with the exit code once the process has ended; 128 + N when signal N ended it.
        is_main: whether the whole container ends with this process (a command of ``exec`` is not main).
    """

    popen: subprocess.Popen[bytes]
    identity: str
    exited: asyncio.Future[int]
    is_main: bool = True
    _pidfd: int = field(default=-1)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def kill_tree(self) -> None:
        """SIGKILL the process and everything that belongs to its container."""
        if not self.exited.done():
            watchdog.kill(self.pid)
        watchdog.kill_members(self.pid, self.identity if self.is_main else "")

    def terminate(self) -> None:
        """Ask the process to leave, as a container runtime asks the first process of a container.

        The kernel drops a SIGTERM for which PID 1 of a PID namespace has no handler. There is no PID namespace
        here, so a process without a handler is spared the signal instead.
        """
        if not self.exited.done() and _catches_sigterm(self.pid):
            watchdog.kill(self.pid, signal.SIGTERM)


class Launcher:
    """Starts processes from the event loop's thread, and keeps the watchdog informed.

    The thread matters: a process is killed when the thread that started it ends.
    """

    def __init__(self) -> None:
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._running: dict[int, Running] = {}

    def start(self) -> None:
        """Start the watchdog."""
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(watchdog.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )

    def stop(self) -> None:
        """Kill every process that is left, then the watchdog."""
        for running in list(self._running.values()):
            running.kill_tree()
            running.popen.wait()
            self._ended(running)
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        identity: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        is_main: bool = True,
        own_terminal: bool = False,
        program: str | None = None,
    ) -> Running:
        """Start a process, from the file ``program`` if it is not ``argv[0]``. Raises OSError when it cannot be."""
        popen = subprocess.Popen(
            list(argv),
            executable=program,
            env={**env, watchdog.MARKER: identity},
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid(), controlling_terminal=own_terminal),
        )
        loop = asyncio.get_running_loop()
        running = Running(popen, identity, loop.create_future(), is_main)
        running._pidfd = os.pidfd_open(popen.pid)
        self._running[popen.pid] = running
        self._tell("+", running)
        loop.add_reader(running._pidfd, self._ended, running)
        return running

    def _ended(self, running: Running) -> None:
        if self._running.pop(running.pid, None) is None:
            return
        asyncio.get_running_loop().remove_reader(running._pidfd)
        os.close(running._pidfd)
        code = running.popen.wait()
        if running.is_main:
            watchdog.kill_members(running.pid, running.identity)
        self._tell("-", running)
        if not running.exited.done():
            running.exited.set_result(128 - code if code < 0 else code)

    def _tell(self, sign: str, running: Running) -> None:
        if self._watchdog is None or self._watchdog.stdin is None:
            return
        try:
            self._watchdog.stdin.write(f"{sign}{running.pid} {running.identity}\n".encode())
            self._watchdog.stdin.flush()
        except BrokenPipeError:
            self._watchdog = None


def _die_with(parent: int, *, controlling_terminal: bool) -> Callable[[], None]:
    def hook() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(137)
        if controlling_terminal:
            _adopt_terminal()

    return hook


def _adopt_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _catches_sigterm(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            caught = next((line for line in file if line.startswith("SigCgt:")), "SigCgt: 0")
    except OSError:
        return False
    return bool(int(caught.split()[1], 16) & _SIGTERM_BIT)
