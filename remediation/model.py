"""The nouns of the remediation: target, finding, decision, action, plan, outcome. All of them are values."""

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
    REGISTRY = "registry"
    RELEASE = "release"
    DATA = "data"

    @property
    def rollback_helps(self) -> bool:
        """Whether going back to an earlier revision can repair it at all (runbook notes W47)."""
        return self in (Family.RESOURCES, Family.APPLICATION)


class Cause(Enum):
    """What is wrong, as far as it is known."""

    OOM_KILLED = "oom_killed"
    CRASH_LOOPING = "crash_looping"
    UNSCHEDULABLE = "unschedulable"
    NOT_READY = "not_ready"
    REGISTRY_DISABLED = "registry_disabled"
    REGISTRY_DISABLED_ON_PURPOSE = "registry_disabled_on_purpose"
    REGISTRY_NOT_READY = "registry_not_ready"
    REGISTRY_UNREADABLE = "registry_unreadable"
    HIGH_ERROR_RATE = "high_error_rate"
    RELEASE_PENDING = "release_pending"
    ZERO_REPLICAS = "zero_replicas"
    NO_DATA = "no_data"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with what speaks for and against it.

    `confidence` is a ratio 0-1; `confirmed` says that the evidence suffices to act. `facts` holds the same evidence
    structured. Findings that are not `actionable` are reported and left alone.
    """

    cause: Cause
    family: Family
    confidence: float
    summary: str
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    confirmed: bool = True
    actionable: bool = True
    config_fix: bool = False


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


@dataclass(frozen=True)
class HelmUpgrade:
    """Upgrade with what is deployed plus `set_values` (dotted path -> value)."""

    set_values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class HelmRollback:
    revision: int


@dataclass(frozen=True)
class PatchStrategy:
    """Let a rollout go on without a surge pod (`max_surge` 0), or put the strategy back."""

    deployment: str
    max_surge: int | str
    max_unavailable: int | str


@dataclass(frozen=True)
class WaitRollout:
    deployment: str


@dataclass(frozen=True)
class VerifyCompletion:
    """Ask for a completion at a pod itself; an empty name means every serving pod."""

    pod: str = ""


@dataclass(frozen=True)
class ClearCacheKey:
    """Delete the model's one key from the registry's cache; never the whole database."""


@dataclass(frozen=True)
class EnableModel:
    """Set the model ready in the registry."""


@dataclass(frozen=True)
class VerifyRouting:
    """Ask for a completion through the router."""


ActionKind = (
    HelmUpgrade
    | HelmRollback
    | PatchStrategy
    | WaitRollout
    | VerifyCompletion
    | ClearCacheKey
    | EnableModel
    | VerifyRouting
)
MUTATING = (HelmUpgrade, HelmRollback, PatchStrategy, ClearCacheKey, EnableModel)


@dataclass(frozen=True)
class PlannedAction:
    """An action in its phase, why it is done, and the command line that a person would type for it."""

    phase: Phase
    action: ActionKind
    why: str
    command: str

    @property
    def name(self) -> str:
        return type(self.action).__name__

    @property
    def changes_something(self) -> bool:
        return isinstance(self.action, MUTATING)


@dataclass(frozen=True)
class Plan:
    """Actions in order. A plan without actions says in `refused` why nothing may be done."""

    actions: tuple[PlannedAction, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class ActionResult:
    """What an action did. `changed` is empty when the wanted state was already there."""

    ok: bool
    detail: str
    changed: str = ""


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
    """How a remediation ended, and what remains to be done by people."""

    status: OutcomeStatus
    summary: str
    events: tuple[RemediationEvent, ...] = ()
    remains: tuple[str, ...] = ()
