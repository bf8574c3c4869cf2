"""Startup, readiness and liveness probes: one attempt each, and the counting of successes and failures."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote

from cluster.embedded.node import podspec
from cluster.embedded.node.settings import KUBELET_VERSION
from cluster.embedded.resources import Object

_USER_AGENT = f"kube-probe/{'.'.join(KUBELET_VERSION.lstrip('v').split('.')[:2])}"
_LONGEST_STATUS_LINE = 8192


class Outcome(Enum):
    """What one attempt showed."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt, and the text that its event carries."""

    outcome: Outcome
    output: str = ""


class ProgramMissing(Exception):
    """A command cannot be started in the container; the text is the runtime's."""


RunCommand = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container for so many seconds: (exit code, output). Raises ProgramMissing, TimeoutError."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """A probe with Kubernetes' defaults filled in. Times in seconds."""

    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    success_threshold: int
    failure_threshold: int
    grace_seconds: float | None

    @classmethod
    def read(cls, probe: Object) -> ProbeSettings:
        grace = probe.get("terminationGracePeriodSeconds")
        return cls(
            initial_delay_seconds=probe.get("initialDelaySeconds") or 0,
            period_seconds=probe.get("periodSeconds") or 10,
            timeout_seconds=probe.get("timeoutSeconds") or 1,
            success_threshold=probe.get("successThreshold") or 1,
            failure_threshold=probe.get("failureThreshold") or 3,
            grace_seconds=None if grace is None else float(grace),
        )


class ResultCounter:
    """Turns attempts into a result, by the thresholds; an unknown attempt counts for nothing."""

    def __init__(self, settings: ProbeSettings) -> None:
        self._settings = settings
        self._last: Outcome | None = None
        self._run = 0

    def add(self, outcome: Outcome) -> bool | None:
        """True or False when enough equal outcomes came in a row, else None."""
        if outcome is Outcome.UNKNOWN:
            return None
        self._run = self._run + 1 if outcome is self._last else 1
        self._last = outcome
        succeeded = outcome is Outcome.SUCCESS
        threshold = self._settings.success_threshold if succeeded else self._settings.failure_threshold
        return succeeded if self._run >= threshold else None


async def attempt(probe: Object, spec: Object, pod_ip: str, run_command: RunCommand) -> Attempt:
    """Try once. Never raises for what the container does."""
    timeout_seconds = ProbeSettings.read(probe).timeout_seconds
    if "httpGet" in probe:
        return await http_get(probe["httpGet"], spec, pod_ip, timeout_seconds)
    if "tcpSocket" in probe:
        return await _tcp(probe["tcpSocket"], spec, pod_ip, timeout_seconds)
    if "exec" in probe:
        return await _exec(probe["exec"].get("command") or [], timeout_seconds, run_command)
    return Attempt(Outcome.UNKNOWN, "missing probe handler: grpc is not supported")


async def http_get(action: Object, spec: Object, pod_ip: str, timeout_seconds: float) -> Attempt:
    """GET; 200-399 is a success. Redirects are not followed, they count as a success."""
    port = podspec.port_number(spec, action["port"])
    if port is None:
        return Attempt(Outcome.UNKNOWN, f"couldn't find port: {action['port']}")
    host = action.get("host") or pod_ip
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = quote(action.get("path") or "/", safe="/?&=%:@!$'()*+,;~#")
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    request = _request(action, f"{host}:{port}", path if path.startswith("/") else f"/{path}")
    try:
        async with asyncio.timeout(timeout_seconds):
            status = await _status(host, port, request, use_tls=scheme == "https")
    except TimeoutError:
        awaiting = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Attempt(Outcome.FAILURE, f'Get "{url}": {awaiting}')
    except (OSError, ValueError) as error:
        return Attempt(Outcome.FAILURE, f'Get "{url}": {_network_error(error, host, port)}')
    if 200 <= status < 400:
        return Attempt(Outcome.SUCCESS)
    return Attempt(Outcome.FAILURE, f"HTTP probe failed with statuscode: {status}")


def _request(action: Object, authority: str, path: str) -> bytes:
    headers = {"Host": authority, "User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or []:
        known = next((name for name in headers if name.lower() == header["name"].lower()), header["name"])
        headers[known] = str(header.get("value", ""))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def _status(host: str, port: int, request: bytes, *, use_tls: bool) -> int:
    """The status code of the answer. Raises OSError and ValueError."""
    reader, writer = await asyncio.open_connection(
        host, port, ssl=_any_certificate() if use_tls else None, limit=_LONGEST_STATUS_LINE
    )
    try:
        writer.write(request)
        line = await reader.readline()
        if not line:
            raise ValueError("EOF")
        version, status, *_ = [*line.split(), b""]
        if not version.startswith(b"HTTP/") or not status.isdigit():
            raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{line!r}"')
        return int(status)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _tcp(action: Object, spec: Object, pod_ip: str, timeout_seconds: float) -> Attempt:
    port = podspec.port_number(spec, action["port"])
    if port is None:
        return Attempt(Outcome.UNKNOWN, f"couldn't find port: {action['port']}")
    host = action.get("host") or pod_ip
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Attempt(Outcome.FAILURE, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Attempt(Outcome.FAILURE, _network_error(error, host, port))
    writer.close()
    return Attempt(Outcome.SUCCESS)


async def _exec(command: list[str], timeout_seconds: float, run_command: RunCommand) -> Attempt:
    try:
        code, output = await run_command(command, timeout_seconds)
    except TimeoutError:
        text = f'command timed out: "{" ".join(command)}" timed out after {timeout_seconds:g}s'
        return Attempt(Outcome.FAILURE, text)
    except ProgramMissing as missing:
        return Attempt(Outcome.UNKNOWN, f"rpc error: code = Unknown desc = failed to exec in container: {missing}")
    return Attempt(Outcome.SUCCESS if code == 0 else Outcome.FAILURE, output)


def _network_error(error: Exception, host: str, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return f"read tcp {host}:{port}: read: connection reset by peer"
    return str(error)
