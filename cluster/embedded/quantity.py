"""Kubernetes quantities: ``500m``, ``64Mi``, ``2``. Source: Kubernetes API conventions, "Quantity"."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(n|u|m|k|Ki|[MGTPE]i?)?")


@lru_cache(maxsize=4096)
def parse_quantity(text: str | int | float) -> Decimal:
    """The value of a quantity (cores, bytes, pieces). Raises ValueError."""
    match = _PATTERN.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"not a quantity: {text!r}")
    return Decimal(match[1]) * _SUFFIXES[match[2] or ""]


def to_milli(text: str | int | float) -> int:
    """A quantity in thousandths, rounded up. Raises ValueError."""
    return math.ceil(parse_quantity(text) * 1000)


def from_milli(milli: int, *, binary: bool = False) -> str:
    """The quantity of so many thousandths in its shortest exact spelling.

    Args:
        milli: thousandths.
        binary: prefer ``Ki``, ``Mi``, ... where they are exact, as for memory.
    """
    if binary and milli and milli % 1_024_000 == 0:
        return _shortest(milli // 1000, 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
    return _shortest(milli, 1000, ("m", "", "k", "M", "G", "T", "P", "E"))


def _shortest(value: int, step: int, suffixes: tuple[str, ...]) -> str:
    index = 0
    while value and value % step == 0 and index < len(suffixes) - 1:
        value, index = value // step, index + 1
    return f"{value}{suffixes[index]}" if value else "0"
