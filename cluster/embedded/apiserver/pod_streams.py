"""What the API server asks of the node: container logs, commands in running containers, connections to pods.

A real API server proxies these to the kubelet. Here the node agent implements the protocol in the same process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

STDOUT = 1
STDERR = 2


PodConnection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""A connection to a port of a pod."""


class PortUnreachable(Exception):
    """Nothing answers at that port of the pod; the text is a kubelet's."""


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
    """A command that runs in a container, or an attachment to the container itself."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size, if there is one."""
        ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of (1 stdout | 2 stderr, data) until both are closed."""
        ...

    async def wait(self) -> int:
        """The exit code, once the command has ended."""
        ...

    async def kill(self) -> None: ...


class PodStreams(Protocol):
    """Logs, commands and ports of the pods of the cluster. Every method raises ApiError for what it cannot serve."""

    async def reach(self, namespace: str, pod: str) -> None:
        """Whether the pod's node can be dialled, which is tried before a connection is upgraded."""
        ...

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]: ...

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession: ...

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        """Follow and feed the main process of a container; killing the session leaves the container alone."""
        ...

    async def connect(self, namespace: str, pod: str, port: int) -> PodConnection:
        """Connect to a port of a running pod. Raises PortUnreachable when nothing listens."""
        ...
