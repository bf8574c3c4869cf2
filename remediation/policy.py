"""What the remediation may act on, and how far it may go: `policy.yaml`, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clients.errors import InputError
from remediation.matrix import Interval, MatrixRow, check_total
from remediation.model import Verdict

DEFAULT_FILE = Path(__file__).with_name("policy.yaml")
BUDGETS = ("upgrades", "rollbacks", "restarts", "scales", "registrations")


class MatrixEntry(BaseModel):
    """One row of the matrix as written: intervals of ratios, a decision, and the runbook's row if it is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    healthy: str
    errors: str
    decision: str
    quote: str = ""

    def row(self) -> MatrixRow:
        """The row it means.

        Raises:
            ValueError: an interval or a decision is none.
        """
        decisions = {verdict.label: verdict for verdict in Verdict}
        if self.decision not in decisions:
            raise ValueError(f"decision {self.decision!r} is none of {', '.join(decisions)}")
        return MatrixRow(
            Interval.parse(self.healthy), Interval.parse(self.errors), decisions[self.decision], self.quote
        )


def _shipped() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))
    return content


_SHIPPED = _shipped()


def _key(name: str, **constraints: Any) -> Any:
    """A field whose default is the shipped file's value, held to the same checks as a given one."""
    return Field(default_factory=lambda: _SHIPPED[name], validate_default=True, **constraints)


class Policy(BaseModel):
    """Thresholds, windows, limits and the decision matrix (see `policy.yaml` for what each means).

    Whatever is not given has the shipped file's value. Durations in seconds, rates as ratios 0-1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settling_seconds: float = _key("settling_seconds", ge=0)
    traffic_window_seconds: float = _key("traffic_window_seconds", gt=0)
    minimum_window_seconds: float = _key("minimum_window_seconds", ge=0)
    poll_seconds: float = _key("poll_seconds", gt=0)
    confirm_seconds: float = _key("confirm_seconds", ge=0)
    snapshot_max_age_seconds: float = _key("snapshot_max_age_seconds", gt=0)
    memory_factor: float = _key("memory_factor", gt=1)
    p95_limit_seconds: float = _key("p95_limit_seconds", gt=0)
    p95_baseline_factor: float = _key("p95_baseline_factor", gt=0)
    baseline_p95_seconds: float | None = Field(default=None, gt=0)
    slo_error_rate: float = _key("slo_error_rate", ge=0, le=1)
    slo_p95_seconds: float = _key("slo_p95_seconds", gt=0)
    completion_timeout_seconds: float = _key("completion_timeout_seconds", gt=0)
    rollout_timeout_seconds: float = _key("rollout_timeout_seconds", gt=0)
    validate_timeout_seconds: float = _key("validate_timeout_seconds", gt=0)
    clock_difference_seconds: float = _key("clock_difference_seconds", gt=0)
    lease_seconds: int = _key("lease_seconds", ge=1)
    probe_requests: int = _key("probe_requests", ge=1)
    unknown_error_rate_as: float = _key("unknown_error_rate_as", ge=0, le=1)
    max_actions: int = _key("max_actions", ge=0)
    max_rounds: int = _key("max_rounds", ge=1)
    hourly_limits: Mapping[str, int] = _key("hourly_limits")
    protected: tuple[str, ...] = _key("protected")
    non_critical_label: str = _key("non_critical_label", pattern=r"^[^=\s]+=[^=\s]+$")
    matrix: tuple[MatrixEntry, ...] = _key("matrix")

    @model_validator(mode="after")
    def _check(self) -> Policy:
        check_total(self.matrix_rows)
        for name, limit in self.hourly_limits.items():
            if name not in BUDGETS:
                raise ValueError(f"hourly_limits.{name} is none of {', '.join(BUDGETS)}")
            if limit < 0:
                raise ValueError(f"hourly_limits.{name} must not be negative")
        return self

    @cached_property
    def matrix_rows(self) -> tuple[MatrixRow, ...]:
        """The matrix, ready to be looked up."""
        return tuple(entry.row() for entry in self.matrix)

    @classmethod
    def load(cls, path: Path | None = None) -> Policy:
        """Read a policy file; None is the shipped one.

        Raises:
            InputError: it cannot be read, a key is unknown or out of range, or the matrix has a gap or an overlap.
        """
        if path is None:
            return cls.model_validate({})
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"the policy cannot be read: {error.strerror}", where=str(path)) from error
        except yaml.YAMLError as error:
            problem = " ".join(str(error).split())
            raise InputError(f"the policy is not valid YAML: {problem}", where=str(path)) from error
        if not isinstance(content, Mapping | None):
            raise InputError("the policy is not a mapping", where=str(path), remedy="write keys and values")
        try:
            return cls.model_validate(content or {})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "matrix"
            problem = first["msg"].removeprefix("Value error, ")
            raise InputError(problem, where=f"{path}: {key}", remedy="see remediation/policy.yaml") from error

    def changed(self, **changes: Any) -> Policy:
        """The same policy with some values changed, checked again."""
        return type(self).model_validate({**self.model_dump(), **changes})

    def is_protected(self, namespace: str, name: str) -> bool:
        """Whether a workload must never be touched."""
        return any(fnmatchcase(f"{namespace}/{name}", pattern) for pattern in self.protected)

    def is_non_critical(self, labels: Mapping[str, str]) -> bool:
        """Whether a workload's labels allow it to be scaled down."""
        key, value = self.non_critical_label.split("=", 1)
        return labels.get(key) == value
