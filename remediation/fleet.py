"""`remediate watch`: keeps every release that carries a label healthy, in whatever namespace it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clients.errors import GamedayError
from remediation.discover import Wish, discover
from remediation.engine import Emit, Remediator
from remediation.model import Outcome, RemediationEvent
from remediation.ports import Kube

INSTANCE_LABEL = "app.kubernetes.io/instance"
WATCH_SECONDS = 30.0
RETRY_SECONDS = 2.0

Release = tuple[str, str]
"""Namespace and name."""


@dataclass
class Fleet:
    """One remediation at a time for each release that is found, for as long as it is there.

    Args:
        remediator: a remediation that gives up watching when all is well (its `patience_seconds`).
        tell: told of every event and outcome, from a thread of the release.
        rest_seconds: pause between two remediations of a release.
        hands_off_seconds: pause after one that was handed over to people: nothing is touched in the meantime.
        deadline_seconds: of one remediation.
    """

    kube: Kube
    selector: str
    remediator: Remediator
    tell: Callable[[Release, RemediationEvent | Outcome], None]
    rest_seconds: float = 5.0
    hands_off_seconds: float = 3600.0
    deadline_seconds: float = 1800.0
    _watched: dict[Release, threading.Event] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set. Releases that appear are taken up, those that go are let go.

        Raises:
            GamedayError: the cluster cannot be read at the beginning.
        """
        self._follow(self._found(), stop)
        while not stop.is_set():
            try:
                for _ in self.kube.watch("deployments", "", labels=self.selector, timeout_seconds=WATCH_SECONDS):
                    self._follow(self._found(), stop)
                    if stop.is_set():
                        break
            except GamedayError:
                stop.wait(RETRY_SECONDS)  # the watch broke off: the cluster is asked anew
        for each in self._watched.values():
            each.set()
        for thread in self._threads:
            thread.join()

    def _found(self) -> set[Release]:
        found = self.kube.list_objects("deployments", labels=self.selector)
        labels = [(d["metadata"]["namespace"], (d["metadata"].get("labels") or {})) for d in found]
        return {(namespace, each[INSTANCE_LABEL]) for namespace, each in labels if INSTANCE_LABEL in each}

    def _follow(self, found: set[Release], stop: threading.Event) -> None:
        for gone in self._watched.keys() - found:
            self._watched.pop(gone).set()
        for new in found - self._watched.keys():
            self._watched[new] = threading.Event()
            arguments = (new, self._watched[new], stop)
            thread = threading.Thread(target=self._keep, args=arguments, name=f"release-{'-'.join(new)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _keep(self, release: Release, gone: threading.Event, stop: threading.Event) -> None:
        """Remediate one release again and again; after handing it to people, leave it alone for long."""
        while not (gone.is_set() or stop.is_set()):
            outcome = self._once(release, gone)
            self.tell(release, outcome)
            well = outcome.status in ("repaired", "nothing_to_do")
            _wait(self.rest_seconds if well else self.hands_off_seconds, gone, stop)

    def _once(self, release: Release, gone: threading.Event) -> Outcome:
        namespace, name = release
        emit: Emit = lambda event: self.tell(release, event)  # noqa: E731
        try:
            target = discover(self.kube, Wish(name, namespace))
            return self.remediator.remediate(target, emit=emit, stop=gone, deadline_seconds=self.deadline_seconds)
        except GamedayError as error:
            return Outcome("failed", str(error))


def _wait(seconds: float, *events: threading.Event) -> None:
    """Until one of two events is set, or the time is over."""
    deadline, (first, *others) = time.monotonic() + seconds, events
    while (left := deadline - time.monotonic()) > 0 and not any(other.is_set() for other in others):
        if first.wait(min(left, 0.2)):
            return
