"""What a benchmark measured, and whether that reaches its target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.statistics import median


@dataclass(frozen=True, slots=True)
class Target:
    """A bound in the measurement's unit: ``under`` is strict, ``at least`` is not."""

    kind: Literal["under", "at least"]
    value: float

    def met(self, measured: float) -> bool:
        """Whether a measured value keeps the bound."""
        return measured < self.value if self.kind == "under" else measured >= self.value


@dataclass(frozen=True, slots=True)
class Result:
    """One quantity, measured in several runs.

    Attributes:
        name: what was measured.
        unit: of all values, such as ``s`` or ``MB``.
        runs: one value a run; the median is what counts.
        target: None for a value that is only told.
        reference: a value to compare with, and ``reference_name``, what it is of.
        details: further findings, one short phrase each.
    """

    name: str
    unit: str
    runs: tuple[float, ...]
    target: Target | None = None
    reference: float | None = None
    reference_name: str = ""
    details: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.runs)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        return None if self.target is None else self.target.met(self.value)

    @property
    def ratio_to_target(self) -> float | None:
        """Measured value per target value; None without a target."""
        return None if self.target is None else self.value / self.target.value

    @property
    def ratio_to_reference(self) -> float | None:
        """Measured value per reference value; None without a reference."""
        return None if self.reference is None else self.value / self.reference


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark that can be run by name.

    Attributes:
        about: what is measured and how, in a sentence.
        default_runs: how many runs the median is of, unless told otherwise.
        measure: takes the number of runs; raises GamedayError when it cannot measure.
    """

    name: str
    about: str
    default_runs: int
    measure: Callable[[int], list[Result]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A benchmark that ran, with the machine's 1-minute load average before and after it."""

    benchmark: Benchmark
    results: tuple[Result, ...]
    load_before: float
    load_after: float
