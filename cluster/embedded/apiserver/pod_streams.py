"""What the API server asks of the node: container logs and commands in running containers.

A real API server proxies these two to the kubelet. Here the node agent implements the protocol in the same process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

STDOUT = 1
STDERR = 2


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The query of ``pods/log`` (Kubernetes API, PodLogOptions)."""

    previous: bool = False
    follow: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


class ExecSession(Protocol):
    """A command that runs in a container."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of (1 stdout | 2 stderr, data) until both are closed."""
        ...

    async def wait(self) -> int:
        """The exit code, once the command has ended."""
        ...

    async def kill(self) -> None: ...


class PodStreams(Protocol):
    """Logs and exec of the containers of the cluster. Every method raises ApiError for what it cannot serve."""

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]: ...

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession: ...
