"""What the remediation has done to a release, kept in the cluster: for hourly limits, and for whoever comes next.

A ConfigMap `remediation-<release>` holds one entry per change, written before the change begins and again when it has
ended. A remediation that was killed in between finds its entry still `started`: the action is idempotent, so doing it
again is safe, and the entry does not count twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from clients.errors import Conflict, OperationFailed
from remediation.actions.base import Action
from remediation.policy import Policy
from remediation.ports import JsonObject, Kube

HOUR_SECONDS = 3600.0
KEPT_ENTRIES = 200
ATTEMPTS = 5
KEY = "ledger.json"


@dataclass(frozen=True)
class Entry:
    """One change. `at` is wall-clock seconds since the epoch: the ledger outlives processes and machines."""

    action: str
    what: str
    budget: str
    at: float
    state: str = "started"


@dataclass
class Ledger:
    """The entries of one release.

    Args:
        clock: wall-clock seconds since the epoch.
    """

    kube: Kube
    namespace: str
    release: str
    policy: Policy
    clock: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """The ConfigMap's name."""
        return f"remediation-{self.release}"

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        return _entries(self.kube.read("configmaps", self.namespace, self.name))

    def exhausted(self, action: Action) -> str:
        """Why the hourly limit forbids an action; empty when it does not."""
        limit = self.policy.hourly_limits.get(action.budget)
        if limit is None:
            return ""
        spent = _spent(self.entries(), action, self.clock())
        if spent < limit:
            return ""
        return f"{spent} of {limit} {action.budget} are spent in this hour: a person must look at it"

    def begin(self, action: Action, what: str) -> None:
        """Write down that a change begins."""
        entry = Entry(action.name, what, action.budget, self.clock())
        self._change(lambda entries: [*(e for e in entries if not _same(e, entry)), entry])

    def end(self, action: Action, what: str, *, ok: bool, changed: bool) -> None:
        """Write down how it ended. What turned out to be done already takes nothing from the limit."""
        state = "done" if ok and changed else "unchanged" if ok else "failed"
        ended = Entry(action.name, what, action.budget, self.clock())
        self._change(lambda entries: [replace(e, state=state) if _same(e, ended) else e for e in entries])

    def _change(self, change: Callable[[list[Entry]], list[Entry]]) -> None:
        """Change the entries; whoever changed them at the same time is respected."""
        for _ in range(ATTEMPTS):
            found = self.kube.read("configmaps", self.namespace, self.name)
            text = json.dumps([asdict(e) for e in change(_entries(found))[-KEPT_ENTRIES:]])
            try:
                if found is None:
                    self.kube.create("configmaps", self.namespace, self._new(text))
                else:
                    version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                    body: JsonObject = {"metadata": version, "data": {KEY: text}}
                    self.kube.merge_patch("configmaps", self.namespace, self.name, body)
                return
            except Conflict:
                continue
        raise OperationFailed("the ledger changes all the time", where=f"ConfigMap {self.namespace}/{self.name}")

    def _new(self, text: str) -> JsonObject:
        labels = {"app.kubernetes.io/managed-by": "remediation"}
        return {"metadata": {"name": self.name, "labels": labels}, "data": {KEY: text}}


def _entries(found: JsonObject | None) -> list[Entry]:
    text = ((found or {}).get("data") or {}).get(KEY, "[]")
    try:
        return [Entry(**each) for each in json.loads(text)]
    except (ValueError, TypeError):
        return []


def _spent(entries: list[Entry], action: Action, now: float) -> int:
    recent = (e for e in entries if e.budget == action.budget and now - e.at < HOUR_SECONDS)
    return sum(e.state in ("started", "done") for e in recent)


def _same(entry: Entry, other: Entry) -> bool:
    """Whether an entry is the unfinished one of the same change."""
    return entry.state == "started" and (entry.action, entry.what) == (other.action, other.what)
