"""Memory quantities are read and written without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediation.quantity import format_memory, parse_or_none, parse_quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64Mi", 64 * 2**20),
        ("1Gi", 2**30),
        ("1.5Gi", 3 * 2**29),
        ("2G", 2 * 10**9),
        ("1500m", 2),
        (4, 4),
        ("0.1", 1),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(text, expected):
    assert parse_quantity(text) == expected


@given(st.integers(1, 2**45))
def test_a_written_amount_is_read_back_the_same(size):
    assert parse_quantity(format_memory(size)) == size


def test_what_is_no_quantity_is_refused():
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        parse_quantity("lots")
    assert parse_or_none("lots") is None
    assert parse_or_none(None) is None
