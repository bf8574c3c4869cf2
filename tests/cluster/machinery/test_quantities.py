"""Kubernetes quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", Decimal("0.5")),
        ("64Mi", Decimal(64 * 2**20)),
        ("1.5Gi", Decimal(3 * 2**29)),
        ("1e3", Decimal(1000)),
        ("2E", Decimal(2 * 10**18)),
        ("5.", Decimal(5)),
        (".5", Decimal("0.5")),
        (2, Decimal(2)),
        ("-1k", Decimal(-1000)),
    ],
)
def test_quantities_have_their_value(text: str | int, value: Decimal) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "1GiB", "Mi", "1ee3", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


@given(st.integers(0, 10**9), st.sampled_from(["Ki", "Mi", "Gi"]), st.sampled_from(["k", "M", "G"]))
def test_binary_suffixes_are_larger_than_decimal_ones(number: int, binary: str, decimal: str) -> None:
    if binary[0].lower() == decimal.lower():
        assert parse_quantity(f"{number}{binary}") >= parse_quantity(f"{number}{decimal}")
