"""Amounts of memory, written as Kubernetes writes them."""

from __future__ import annotations

import re
from decimal import Decimal

_FACTORS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([kMGT]|[KMGT]i)?")


def parse_bytes(text: str) -> int:
    """Bytes of a quantity such as `96Mi`, `1.5Gi`, `64M` or `1048576`.

    Source: Kubernetes documentation, "Resource units in Kubernetes", without milli and exponent forms.

    Raises:
        ValueError: the text is no such quantity.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a quantity of bytes such as 96Mi or 1.5Gi")
    return int(Decimal(match[1]) * _FACTORS[match[2] or ""])


def gibibytes(amount_bytes: float) -> str:
    """The amount in GiB with two digits, as vLLM's log lines print it."""
    return f"{amount_bytes / 2**30:.2f}"
