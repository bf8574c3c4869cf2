"""The nouns of the remediation: target, finding, decision, outcome. All of them are values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Literal

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True)
class Target:
    """What is to be repaired, and how to reach what surrounds it.

    URLs have no trailing slash. Empty tokens mean that the thing they open is not available; they are never
    printed.
    """

    release: str
    namespace: str
    model: str
    environment: str = "production"
    router_url: str = ""
    registry_url: str = ""
    router_service: str = "api-router"
    router_namespace: str = ""
    api_key: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    chart: Path | None = None


class Family(Enum):
    """What kind of thing broke: it decides what can help."""

    RESOURCES = "resources"
    CAPACITY = "capacity"
    APPLICATION = "application"
    CONFIGURATION = "configuration"
    REGISTRY = "registry"
    PLATFORM = "platform"
    NETWORK = "network"
    NODE = "node"
    RELEASE = "release"
    DATA = "data"

    @property
    def rollback_helps(self) -> bool:
        """Whether going back to an earlier revision can repair it at all (runbook notes W47)."""
        return self in (Family.RESOURCES, Family.APPLICATION, Family.CONFIGURATION)


@dataclass(frozen=True)
class Evidence:
    """Something that was seen: which object, which of its fields, what it held, and when.

    `at` is a wall-clock time as its source gives it (RFC 3339), or empty for the moment of the snapshot.
    """

    object: str
    field: str
    value: str
    at: str = ""

    def __str__(self) -> str:
        when = f" at {self.at}" if self.at else ""
        return f"{self.object}: {self.field} = {self.value}{when}"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with what speaks for and against it.

    Attributes:
        cause: what is wrong, a word of the rule's own (`oom_killed`).
        family: what kind of thing broke.
        confidence: ratio 0-1.
        facts: the evidence structured, for remedies.
        confirmed: the evidence suffices to act.
        actionable: False for what is reported and left alone.
        config_fix: a change of configuration can repair it (decision tree, question 3).
        proven: acted on at once; the others must persist for the policy's `confirm_seconds`.
        symptom: it names no cause, so it neither starts a remediation nor answers the decision tree.
    """

    cause: str
    family: Family
    confidence: float
    summary: str
    evidence: tuple[Evidence, ...] = ()
    against: tuple[Evidence, ...] = ()
    pods: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    confirmed: bool = True
    actionable: bool = True
    config_fix: bool = False
    proven: bool = False
    symptom: bool = False


class Verdict(IntEnum):
    """What the matrix can say, ordered from lax to strict."""

    FIX_FORWARD = 0
    FIX_FORWARD_MONITORED = 1
    ROLLBACK = 2
    IMMEDIATE_ROLLBACK = 3

    @property
    def is_rollback(self) -> bool:
        return self >= Verdict.ROLLBACK

    @property
    def label(self) -> str:
        return self.name.lower()


class DecisionAction(Enum):
    """What is done in the end. The first four are the matrix's words; the others are ours."""

    FIX_FORWARD = "fix_forward"
    FIX_FORWARD_MONITORED = "fix_forward_monitored"
    ROLLBACK = "rollback"
    IMMEDIATE_ROLLBACK = "immediate_rollback"
    FIX_CAUSE = "fix_cause"
    ESCALATE = "escalate"
    NOTHING = "nothing"

    @property
    def is_rollback(self) -> bool:
        return self in (DecisionAction.ROLLBACK, DecisionAction.IMMEDIATE_ROLLBACK)

    @property
    def fixes(self) -> bool:
        """Whether it means to repair the cause rather than to go back."""
        return self in (DecisionAction.FIX_FORWARD, DecisionAction.FIX_FORWARD_MONITORED, DecisionAction.FIX_CAUSE)


@dataclass(frozen=True)
class MatrixCell:
    """One cell of the completed decision matrix, and which runbook row it is, if any."""

    verdict: Verdict
    healthy_band: str
    error_band: str
    source: Literal["runbook", "extension"]
    quote: str
    latency_breached: bool = False


@dataclass(frozen=True)
class TreeAnswer:
    """One question of the runbook's decision tree. `answer` is None when it cannot be answered."""

    number: int
    question: str
    answer: bool | None
    advice: str
    leans_to_rollback: bool | None = None


@dataclass(frozen=True)
class Decision:
    """What to do and why: the cell of the matrix, the tree beside it, and what overrode what."""

    action: DecisionAction
    cell: MatrixCell | None
    quote: str
    healthy_share: float | None
    stable_share: float | None
    error_rate: float | None
    p95_seconds: float | None
    findings: tuple[Finding, ...] = ()
    tree: tuple[TreeAnswer, ...] = ()
    overrides: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    rollback_revision: int | None = None


class Phase(Enum):
    """The phases of the runbook's Procedure 3, in order."""

    STABILISE = "stabilise"
    ISOLATE = "isolate"
    REMEDIATE = "remediate"
    VALIDATE = "validate"
    SCALE = "scale"


EventName = Literal["observed", "detected", "decided", "planned", "acted", "validated", "escalated"]


@dataclass(frozen=True)
class RemediationEvent:
    """Something the remediation saw or did. `details` can be written as JSON as it is."""

    name: EventName
    monotonic_seconds: float
    details: Mapping[str, JsonValue] = field(default_factory=dict)


OutcomeStatus = Literal["repaired", "nothing_to_do", "escalated", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a remediation ended, and what remains to be done by people.

    `bad_input`: it could not do its work because of what it was given (a chart without the values it needs, say).
    """

    status: OutcomeStatus
    summary: str
    events: tuple[RemediationEvent, ...] = ()
    remains: tuple[str, ...] = ()
    bad_input: bool = False
