"""The statistics that benchmarks report."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import median, percentile, share_within

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(VALUES)
def test_the_median_is_the_one_of_the_standard_library(values: list[float]) -> None:
    assert median(values) == pytest.approx(statistics.median(values))


@given(VALUES, st.floats(0, 1))
def test_a_percentile_is_a_value_that_its_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < max(1, share * len(values))


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 50), (0.99, 99), (1, 100)])
def test_percentiles_are_by_nearest_rank(share: float, expected: float) -> None:
    assert percentile([*range(100, 0, -1)], share) == expected


def test_a_value_at_the_limit_is_within_it_and_a_missing_one_is_late() -> None:
    assert share_within([0.02, 0.021, 0.001], 0.02, expected=4) == 0.5


@pytest.mark.parametrize("expected", [0, 1])
def test_no_more_values_than_expected_may_be_there(expected: int) -> None:
    with pytest.raises(ValueError, match="counts every value"):
        share_within([1.0, 2.0], 1.0, expected=expected)


def test_nothing_has_no_median_and_no_percentile() -> None:
    with pytest.raises(ValueError, match="at least one"):
        median([])
    with pytest.raises(ValueError, match="needs values"):
        percentile([], 0.5)
