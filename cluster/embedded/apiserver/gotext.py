"""Values as Go prints them, because the API's error messages contain them."""

from __future__ import annotations

import json
from typing import Any


def go_format(value: Any) -> str:
    """As ``fmt.Sprintf("%v")`` prints decoded JSON: ``map[a:1 b:[x y]]``."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_format(item) for item in value) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def go_quote(text: str) -> str:
    """As ``strconv.Quote`` prints a string."""
    return json.dumps(text, ensure_ascii=False)


def compact_json(value: Any) -> str:
    """As ``json.Marshal`` writes a value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
