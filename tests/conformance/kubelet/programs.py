"""Programs that behave as a recording shows, where it does not say what was run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.embedded.resources import Object
from tests.conformance.kubelet.recording import Entry, Recording

_ANSWERED = re.compile(r"Readiness probe failed: HTTP probe failed with statuscode: (\d+)")
_CRASH_SECONDS = 0.25
_SERVER = """
import http.server, os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit({exit_code}))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status}); self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", {port}), Handler).serve_forever()
"""


def program_between(recording: Recording, begin: float, end: float) -> list[str] | None:
    """The command of what pods made in a span of time (seconds) ran; None when they got ready, or nothing tells.

    Either it ended by itself with an exit code, or it answered its readiness probe with a status that is no success.
    """
    entries = [*_of_new_pods(recording, begin, end)]
    if any(_is_ready(entry) for entry in entries):
        return None
    codes = [code for entry in entries if not _is_going(entry) and (code := _exit_code(entry)) is not None]
    if codes:
        return ["sh", "-c", f"sleep {_CRASH_SECONDS}; exit {codes[0]}"]
    status, port = _answered(recording, begin, end), _port(recording)
    if status is None or port is None:
        return None
    ended = [code for entry in entries if (code := _exit_code(entry)) is not None]
    return ["python3", "-uc", _SERVER.format(status=status, port=port, exit_code=ended[0] if ended else 0)]


def _of_new_pods(recording: Recording, begin: float, end: float) -> Iterator[Entry]:
    new: set[str] = set()
    for entry in recording.timeline:
        if entry.resource != "pods" or entry.t < begin:
            continue
        name = entry.object["metadata"]["name"]
        if entry.type == "ADDED" and entry.t < end:
            new.add(name)
        if name in new:
            yield entry


def _is_ready(entry: Entry) -> bool:
    conditions = (entry.object.get("status") or {}).get("conditions") or []
    return any((condition["type"], condition["status"]) == ("Ready", "True") for condition in conditions)


def _is_going(entry: Entry) -> bool:
    return bool(entry.object["metadata"].get("deletionTimestamp"))


def _exit_code(entry: Entry) -> int | None:
    for status in (entry.object.get("status") or {}).get("containerStatuses") or []:
        if ended := (status.get("state") or {}).get("terminated"):
            return int(ended["exitCode"])
    return None


def _answered(recording: Recording, begin: float, end: float) -> str | None:
    for entry in recording.timeline:
        if entry.resource == "events" and begin <= entry.t < end:
            match = _ANSWERED.search(str(entry.object.get("message")))
            if match:
                return match[1]
    return None


def _port(recording: Recording) -> int | None:
    """The port of the readiness probe of the recording's Deployment."""
    for obj in recording.manifest:
        containers: list[Object] = ((obj.get("spec") or {}).get("template") or {}).get("spec", {}).get("containers", [])
        for container in containers:
            port = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("port")
            if isinstance(port, int):
                return port
    return None
