"""Live progress on the terminal: which scenario, which phase, and how the service is doing right now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from gameday.evidence import PodCount, Window

_PLAIN_SECONDS = 5.0


@dataclass(slots=True)
class Status:
    """What the progress line shows."""

    scenario: str = ""
    phase: str = "starting"
    pods: PodCount | None = None


class Progress:
    """A line that is redrawn on a terminal, and printed every few seconds elsewhere.

    Args:
        traffic: called for the window to show (requests, errors, P95), None before there is load.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.status = Status()
        self.traffic: Callable[[float], Window] | None = None
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._spinner = Spinner("dots")
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)
        self._plain = threading.Thread(target=self._print_lines, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        if self.console.is_terminal:
            self._live.start()
        else:
            self._plain.start()

    def stop(self) -> None:
        """Clear the line. May be called twice."""
        self._stop.set()
        if self._live.is_started:
            self._live.stop()

    def phase(self, phase: str) -> None:
        """Show a phase; off a terminal it is printed once."""
        self.status.phase = phase
        if not self.console.is_terminal:
            self.console.print(self._line(), soft_wrap=True)

    def say(self, message: str, style: str = "") -> None:
        """Print a line that stays."""
        self.console.print(Text(message, style=style), soft_wrap=True)

    def _render(self) -> Group:
        self._spinner.update(text=self._line())
        return Group(self._spinner)

    def _line(self) -> Text:
        parts = [f"{time.monotonic() - self._started:5.0f}s"]
        if self.status.scenario:
            parts.append(self.status.scenario)
        parts.append(self.status.phase)
        text = Text("  ".join(parts))
        if self.status.pods:
            pods = self.status.pods
            text.append(f"  pods {pods.ready}/{pods.desired}", "green" if pods.whole else "yellow")
        if self.traffic:
            text.append_text(_traffic_text(self.traffic(3.0)))
        return text

    def _print_lines(self) -> None:
        while not self._stop.wait(_PLAIN_SECONDS):
            self.console.print(self._line(), soft_wrap=True)


def _traffic_text(seen: Window) -> Text:
    text = Text(f"  {seen.requests / 3.0:4.1f} req/s")
    errors = "-" if seen.error_ratio is None else f"{seen.error_ratio:.1%}"
    text.append(f"  errors {errors}", "red" if seen.failed else "")
    if seen.refused:
        text.append(f"  refused {seen.refused / max(seen.requests, 1):.0%}", "yellow")
    p95 = "-" if seen.latency_p95_seconds is None else f"{seen.latency_p95_seconds * 1000:.0f} ms"
    text.append(f"  P95 {p95}")
    return text
