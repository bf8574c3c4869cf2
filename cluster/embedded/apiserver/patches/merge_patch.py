"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any


def apply(target: Any, patch: Any) -> Any:
    """The target with the patch merged in; null removes, lists are replaced. Neither argument is changed."""
    if patch.__class__ is not dict:
        return patch
    result = dict(target) if target.__class__ is dict else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif value.__class__ is dict:
            result[key] = apply(result.get(key), value)
        else:
            result[key] = value
    return result
