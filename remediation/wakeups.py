"""Tells when something about a release has changed, by watches, so that nobody has to wait for the next look."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from clients.errors import GamedayError
from remediation.ports import Kube

WATCHED = ("pods", "deployments")
WATCH_SECONDS = 30.0
RETRY_SECONDS = 1.0


@dataclass
class WakeUps:
    """Watches the release's objects in threads of its own. A watch that ends is begun again."""

    kube: Kube
    namespace: str
    labels: str
    _changed: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to watch."""
        for resource in WATCHED:
            threading.Thread(target=self._follow, args=(resource,), name=f"watch-{resource}", daemon=True).start()

    def stop(self) -> None:
        """Stop watching. The threads end with the next event or when their watch does."""
        self._stop.set()
        self._changed.set()

    def wait(self, timeout_seconds: float) -> None:
        """Return at the next change, at the latest after the timeout."""
        self._changed.wait(timeout_seconds)
        self._changed.clear()

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()

    def _follow(self, resource: str) -> None:
        while not self._stop.is_set():
            try:
                watch = self.kube.watch(resource, self.namespace, labels=self.labels, timeout_seconds=WATCH_SECONDS)
                for _ in watch:
                    if self._stop.is_set():
                        return
                    self._changed.set()
            except GamedayError:
                self._stop.wait(RETRY_SECONDS)
