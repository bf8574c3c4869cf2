"""One remediation at a time for a release: a Lease, as Kubernetes' own controllers elect their leader.

Source: https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from clients.errors import Conflict, GamedayError
from remediation.ports import JsonObject, Kube

POLL_SECONDS = 0.2


@dataclass
class Lease:
    """The right to act on a release, renewed by a thread while it is held.

    Others judge by their own clocks how long the holder's record has not changed, so clocks need not agree.

    Args:
        on_lost: called, from a thread, when the lease could not be renewed in time.
    """

    kube: Kube
    namespace: str
    release: str
    seconds: int
    on_lost: Callable[[], None]
    holder: str = field(default_factory=lambda: f"remediation-{uuid.uuid4().hex[:12]}")
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _seen: tuple[object, float] = (None, 0.0)

    @property
    def name(self) -> str:
        """The Lease's name."""
        return f"remediation-{self.release}"

    def acquire(self, stop: threading.Event, deadline: float) -> bool:
        """Take it, or wait until its holder gives it up or is silent for its duration; False when time is over.

        Raises:
            GamedayError: the cluster does not answer.
        """
        while not stop.is_set():
            if self._take():
                self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
                self._thread.start()
                return True
            if time.monotonic() >= deadline:
                return False
            stop.wait(POLL_SECONDS)
        return False

    def release_it(self) -> None:
        """Give it up, so that nobody has to wait for it to expire."""
        self._stop.set()
        if self._thread is None:
            return
        self._thread.join()
        try:
            found = self.kube.read("leases", self.namespace, self.name)
            if found is not None and found["spec"].get("holderIdentity") == self.holder:
                self._write(found, "")
        except GamedayError:
            return  # it expires by itself

    def _take(self) -> bool:
        found = self.kube.read("leases", self.namespace, self.name)
        try:
            if found is None:
                body: JsonObject = {"metadata": {"name": self.name}, "spec": self._spec(self.holder)}
                self.kube.create("leases", self.namespace, body)
                return True
            if not self._free(found):
                return False
            self._write(found, self.holder)
        except Conflict:
            return False
        return True

    def _free(self, found: JsonObject) -> bool:
        spec = found["spec"]
        if spec.get("holderIdentity") in (None, "", self.holder):
            return True
        record = (spec.get("holderIdentity"), spec.get("renewTime"))
        if record != self._seen[0]:
            self._seen = (record, time.monotonic())
        return time.monotonic() - self._seen[1] > float(spec.get("leaseDurationSeconds") or self.seconds)

    def _renew(self) -> None:
        """Renew three times per duration; a duration without success loses it."""
        renewed = time.monotonic()
        while not self._stop.wait(self.seconds / 3):
            try:
                found = self.kube.read("leases", self.namespace, self.name)
                if found is None or found["spec"].get("holderIdentity") != self.holder:
                    break
                self._write(found, self.holder)
                renewed = time.monotonic()
            except GamedayError:
                if time.monotonic() - renewed > self.seconds:
                    break
        if not self._stop.is_set():
            self.on_lost()

    def _write(self, found: JsonObject, holder: str) -> None:
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        self.kube.merge_patch("leases", self.namespace, self.name, {"metadata": version, "spec": self._spec(holder)})

    def _spec(self, holder: str) -> JsonObject:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"holderIdentity": holder, "leaseDurationSeconds": self.seconds, "renewTime": now}
