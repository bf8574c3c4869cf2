"""Resource quantities: ``1500m``, ``64Gi``, ``1e3``; how they compare, and how the server spells them."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache

_PATTERN = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_NANO = Decimal("1e-9")
_WIDE = Context(prec=80)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX_OF_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}


class BadQuantity(ValueError):
    """The text is no quantity."""


@lru_cache(maxsize=1024)
def parse(text: str) -> Decimal:
    """The value of a quantity. Raises BadQuantity."""
    number, suffix = _split(text)
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return number.scaleb(int(suffix[1:]))
    return number.scaleb(_DECIMAL[suffix])


@lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """The spelling a server stores: the largest suffix that keeps the number whole, at most nano precision."""
    _, suffix = _split(text)
    value = parse(text).quantize(_NANO, rounding=ROUND_CEILING, context=_WIDE)
    if value == 0:
        return "0"
    if suffix in _BINARY and value == value.to_integral_value() and abs(value) >= 1024:
        return _binary(int(value))
    return _decimal(value, scientific=suffix[:1] in ("e", "E") and len(suffix) > 1)


def _split(text: str) -> tuple[Decimal, str]:
    match = _PATTERN.match(text)
    if match is None:
        raise BadQuantity(text)
    return Decimal(match[1]), match[2] or ""


def _binary(value: int) -> str:
    for suffix, bits in reversed(_BINARY.items()):
        if value % (1 << bits) == 0:
            return f"{value >> bits}{suffix}"
    return str(value)


def _decimal(value: Decimal, *, scientific: bool) -> str:
    for exponent in range(18, -10, -3):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            whole = format(scaled.to_integral_value(), "f")
            if scientific:
                return f"{whole}e{exponent}" if exponent else whole
            return whole + _SUFFIX_OF_EXPONENT[exponent]
    return format(value, "f")
