"""Carrying out planned actions: within the hourly limits, written down before and after, each with a deadline."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from clients.errors import GamedayError
from remediation.actions.base import Action, ActionResult, Tools
from remediation.ledger import Ledger
from remediation.model import Target
from remediation.observe import Observer
from remediation.policy import Policy
from remediation.ports import Helm, Kube, Registry


@dataclass
class Actor:
    """Does what a plan says, for one target. Without a ledger nothing is limited or written down."""

    kube: Kube
    helm: Helm
    observer: Observer
    target: Target
    policy: Policy
    registry: Registry | None = None
    ledger: Ledger | None = None

    def perform(self, action: Action, *, stop: threading.Event, deadline: float) -> ActionResult:
        """Carry out one action.

        Args:
            deadline: monotonic seconds by which it must have ended.
        """
        try:
            if action.mutates and self.ledger is not None:
                return self._recorded(self.ledger, action, stop, deadline)
            return action.perform(self._tools(stop, deadline))
        except GamedayError as error:
            return ActionResult(False, str(error))

    def _recorded(self, ledger: Ledger, action: Action, stop: threading.Event, deadline: float) -> ActionResult:
        if refused := ledger.exhausted(action):
            return ActionResult(False, refused)
        what = repr(action)
        ledger.begin(action, what)
        try:
            result = action.perform(self._tools(stop, deadline))
        except GamedayError:
            ledger.end(action, what, ok=False, changed=False)
            raise
        ledger.end(action, what, ok=result.ok, changed=bool(result.changed))
        return result

    def _tools(self, stop: threading.Event, deadline: float) -> Tools:
        return Tools(self.kube, self.helm, self.observer, self.target, self.policy, self.registry, stop, deadline)
