"""Kills what is left of containers. Also a program: it outlives the cluster process just long enough to do so.

A container is a session of processes, led by its main process. The main process gets SIGKILL from the kernel when
the cluster process dies (PR_SET_PDEATHSIG), but its children do not: the watchdog, told of every container through
a pipe, sees the pipe's end and kills them. Processes that left the session are recognised by their environment.

It imports the standard library only, since it runs as ``python -I -S watchdog.py``.
"""

import contextlib
import os
import signal
import sys

MARKER = "GAMEDAY_CONTAINER_ID"
"""Environment variable that every process of a container inherits."""


def members(leader: int, identity: str) -> list[int]:
    """Processes of a container: those in the leader's session, and those that carry its identity."""
    marker = f"{MARKER}={identity}".encode()
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and (_session(name) == leader or (identity and _is_marked(name, marker)))
    ]


def kill_members(leader: int, identity: str) -> None:
    """SIGKILL every process of a container; again while new ones appear."""
    for _ in range(5):
        left = [pid for pid in members(leader, identity) if _state(pid) != "Z"]
        if not left:
            return
        for pid in left:
            kill(pid)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _fields(pid: int | str) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _session(pid: int | str) -> int:
    fields = _fields(pid)
    return int(fields[3]) if len(fields) > 3 else -1


def _state(pid: int | str) -> str:
    fields = _fields(pid)
    return fields[0] if fields else "Z"


def _is_marked(pid: int | str, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return marker in file.read().split(b"\0")
    except OSError:
        return False


def main() -> None:
    """Read ``+PID IDENTITY`` and ``-PID IDENTITY`` lines until the cluster process is gone, then kill the rest."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    containers: dict[int, str] = {}
    for line in sys.stdin:
        pid, _, identity = line[1:].strip().partition(" ")
        if line[0] == "+":
            containers[int(pid)] = identity
        else:
            containers.pop(int(pid), None)
    for leader, identity in containers.items():
        kill_members(leader, identity)


if __name__ == "__main__":
    main()
