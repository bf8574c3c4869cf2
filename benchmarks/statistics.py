"""The few statistics that the benchmarks report: pure functions of measured values."""

from __future__ import annotations

import math
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError when there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a median needs at least one value")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0-1) of the values do not exceed (nearest rank).

    Raises ValueError when there is no value or the share is out of range.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError("a percentile needs values and a share between 0 and 1")
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


def share_within(values: Sequence[float], limit: float, *, expected: int) -> float:
    """The share (0-1) of `expected` values that are there and not above `limit`: a value that is missing is late.

    Raises ValueError when fewer values are expected than there are, or none is.
    """
    if expected < max(1, len(values)):
        raise ValueError("expected counts every value, also those that are missing")
    return sum(value <= limit for value in values) / expected
