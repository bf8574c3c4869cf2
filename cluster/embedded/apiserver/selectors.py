"""Label and field selectors: text in, predicate out."""

from __future__ import annotations

from collections.abc import Callable

from cluster.embedded.resources import Object

Predicate = Callable[[Object], bool]


def label_selector(text: str) -> Predicate:
    """A predicate for ``a=b,c!=d`` (equality only so far)."""
    return _equality(text, lambda obj, key: (obj["metadata"].get("labels") or {}).get(key))


def field_selector(text: str) -> Predicate:
    """A predicate for ``spec.nodeName=x,status.phase!=y``."""
    return _equality(text, _field)


def _field(obj: Object, path: str) -> str:
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _equality(text: str, read: Callable[[Object, str], str | None]) -> Predicate:
    terms: list[tuple[str, bool, str]] = []
    for term in filter(None, text.split(",")):
        key, _, value = term.partition("=")
        negated = key.endswith("!")
        terms.append((key.rstrip("!"), not negated, value.lstrip("=")))
    return lambda obj: all((read(obj, key) == value) is wanted for key, wanted, value in terms)
