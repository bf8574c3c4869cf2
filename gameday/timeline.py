"""The evidence timeline: every event, decision and command of a run, in one file, on one clock."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clients.errors import InputError


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline.

    Attributes:
        at_seconds: monotonic seconds of the machine, the clock of the samples too.
        kind: ``run``, ``phase``, ``mark``, ``pods``, ``experiment``, ``remediation``, ``step`` or ``verdict``.
        name: what happened, within the kind.
        scenario: the scenario it belongs to, empty for the run itself.
    """

    at_seconds: float
    wall: str
    kind: str
    name: str
    scenario: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class Timeline:
    """Appends events to ``timeline.jsonl`` and keeps them in memory. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a")
        self._lock = threading.Lock()
        self.events: list[Event] = []

    def add(self, kind: str, name: str, *, scenario: str = "", at_seconds: float | None = None, **detail: Any) -> Event:
        """Record that something happened (now, unless said otherwise)."""
        moment = time.monotonic() if at_seconds is None else at_seconds
        event = Event(moment, datetime.now(UTC).isoformat(timespec="milliseconds"), kind, name, scenario, detail)
        with self._lock:
            self.events.append(event)
            if not self._stream.closed:
                self._stream.write(json.dumps(dataclasses.asdict(event), default=str) + "\n")
                self._stream.flush()
        return event

    def close(self) -> None:
        """Close the file; later events are kept in memory only."""
        with self._lock:
            self._stream.close()


def read_timeline(path: Path) -> list[Event]:
    """All events of a run. Raises InputError."""
    try:
        return [Event(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"cannot read the timeline: {error}", where=str(path)) from error
