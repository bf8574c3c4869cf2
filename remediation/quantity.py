"""Kubernetes quantities: memory in bytes, and counts."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

_FACTORS: dict[str, Decimal | int] = {
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
    "m": Decimal("0.001"),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
}


def parse_quantity(text: str | int | float) -> int:
    """Whole units (bytes for memory), rounded up as Kubernetes does.

    Raises:
        ValueError: if it is no quantity.
    """
    raw = str(text).strip()
    number, factor = raw, Decimal(1)
    for suffix, value in _FACTORS.items():
        if raw.endswith(suffix):
            number, factor = raw[: -len(suffix)], Decimal(value)
            break
    try:
        amount = Decimal(number) * factor
    except InvalidOperation:
        raise ValueError(f"{raw!r} is not a Kubernetes quantity") from None
    return math.ceil(amount)


def parse_or_none(text: str | int | float | None) -> int | None:
    """As `parse_quantity`, but None for what is absent or unreadable."""
    try:
        return None if text is None else parse_quantity(text)
    except ValueError:
        return None


def format_memory(size_bytes: int) -> str:
    """The shortest exact text: the largest binary unit that divides it."""
    for suffix in ("Gi", "Mi", "Ki"):
        if size_bytes and size_bytes % int(_FACTORS[suffix]) == 0:
            return f"{size_bytes // int(_FACTORS[suffix])}{suffix}"
    return str(size_bytes)
