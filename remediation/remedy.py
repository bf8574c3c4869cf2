"""What can be done about a finding: steps in the phases of Procedure 3, or the reason why nothing may be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remediation.actions.base import Action
from remediation.model import Finding, Phase, Target
from remediation.policy import Policy
from remediation.snapshot import Snapshot


@dataclass(frozen=True)
class Step:
    """An action in its phase, and why it is done."""

    phase: Phase
    action: Action
    why: str


@dataclass(frozen=True)
class Remedy:
    """What repairs a cause. `notes` are told to people beside the steps."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why a cause cannot be repaired safely, or not by us.

    `bad_input`: the chart or its values lack what the repair needs, which a person has to mend.
    """

    reason: str
    bad_input: bool = False


@dataclass(frozen=True)
class Situation:
    """Everything that a remedy may be made from.

    `tried` holds the causes whose remedy was carried out before in this remediation and did not hold.
    """

    snapshot: Snapshot
    policy: Policy
    target: Target
    findings: tuple[Finding, ...] = ()
    tried: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Remedies:
    """What is known to do about each finding of a situation."""

    by_cause: Mapping[str, Remedy | Refusal] = field(default_factory=dict)

    def of(self, finding: Finding) -> Remedy | Refusal:
        """The remedy of a finding's cause, or why there is none."""
        return self.by_cause.get(finding.cause, Refusal(f"no automatic fix is known for {finding.cause}"))

    def fixes(self, finding: Finding) -> bool:
        """Whether the remediation knows what to do about the cause itself."""
        return isinstance(self.of(finding), Remedy)


@dataclass(frozen=True)
class PlannedAction:
    """An action in its phase, why it is done, the command line a person would type for it, and the way back."""

    phase: Phase
    action: Action
    why: str
    command: str
    undo: str = ""

    @property
    def name(self) -> str:
        return self.action.name

    @property
    def changes_something(self) -> bool:
        return self.action.mutates


@dataclass(frozen=True)
class Plan:
    """Actions in order. A plan without actions says in `refused` why nothing may be done."""

    actions: tuple[PlannedAction, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str = ""
