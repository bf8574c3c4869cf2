"""What every action is: a value with a command line, a way to carry it out, and a way back."""

from __future__ import annotations

import shlex
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from clients.errors import OperationFailed
from remediation.model import Target
from remediation.policy import Policy
from remediation.ports import Helm, Kube, Registry

if TYPE_CHECKING:
    from remediation.observe import Observer


@dataclass(frozen=True)
class ActionResult:
    """What an action did. `changed` is empty when the wanted state was already there."""

    ok: bool
    detail: str
    changed: str = ""


@dataclass(frozen=True)
class CommandContext:
    """What a command line is written with. `chart` names the release's own chart."""

    target: Target
    chart: str
    policy: Policy


@dataclass
class Tools:
    """What an action works with. `deadline` is in monotonic seconds; `registry` is None where there is none."""

    kube: Kube
    helm: Helm
    observer: Observer
    target: Target
    policy: Policy
    registry: Registry | None
    stop: threading.Event
    deadline: float

    @property
    def required_registry(self) -> Registry:
        """The registry.

        Raises:
            OperationFailed: none is known.
        """
        if self.registry is None:
            raise OperationFailed("no model registry is known", where=self.target.model, remedy="give --registry-url")
        return self.registry


class Action(ABC):
    """One thing to do or to check. Subclasses are frozen dataclasses, so that equal actions are the same action.

    Attributes:
        mutates: whether it changes anything; checks do not.
        budget: the hourly limit of the policy that it counts against; empty for none.
    """

    mutates: ClassVar[bool] = True
    budget: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """What events and reports call it."""
        return type(self).__name__

    @abstractmethod
    def command(self, context: CommandContext) -> str:
        """The equivalent command line, quoted for a POSIX shell. Secrets appear as variables."""

    @abstractmethod
    def perform(self, tools: Tools) -> ActionResult:
        """Do it, unless it is done already. Looks at its precondition again just before it changes anything.

        Raises:
            GamedayError: it could not be done.
        """

    def undo(self, context: CommandContext) -> str:
        """How to take it back, as a command line or in words; empty when there is nothing to take back."""
        return ""


def shell(*arguments: str) -> str:
    """A command line, quoted."""
    return shlex.join(arguments)


def kubectl(target: Target, *arguments: str) -> str:
    """A kubectl command line in the target's namespace."""
    return shell("kubectl", *arguments, "--namespace", target.namespace)
