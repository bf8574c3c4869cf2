"""Label and field selectors: text in, predicate out. Source: Kubernetes, "Labels and Selectors", "Field Selectors"."""

from __future__ import annotations

import re
from collections.abc import Callable

from cluster.embedded.apiserver.refusals import bad_request
from cluster.embedded.resources import Object

Predicate = Callable[[Object], bool]
_KEY = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTENCE = re.compile(rf"(!?)\s*({_KEY})")
_FIELD_TERM = re.compile(r"([A-Za-z0-9_.\[\]]+)(==|=|!=)(.*)")


def label_selector(text: str) -> Predicate:
    """A predicate for ``a=b,c!=d,e in (f,g),h notin (i),j,!k``. Raises ApiError 400 for what is none of that."""
    requirements = [_requirement(term) for term in _split(text)]

    def matches(obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


def field_selector(text: str) -> Predicate:
    """A predicate for ``spec.nodeName=x,status.phase!=y``. Raises ApiError 400 for what is none of that."""
    terms: list[tuple[str, bool, str]] = []
    for term in filter(None, text.split(",")):
        found = _FIELD_TERM.fullmatch(term)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        terms.append((found[1], found[2] != "!=", found[3]))
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in terms)


def _split(text: str) -> list[str]:
    """The terms of a selector: commas inside of parentheses do not separate."""
    terms, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            terms.append(text[start:position])
            start = position + 1
    terms.append(text[start:])
    return [term.strip() for term in terms if term.strip()]


def _requirement(term: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.fullmatch(term):
        key, values = found[1], {value.strip() for value in found[3].split(",")}
        if found[2] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.fullmatch(term):
        key, value = found[1], found[3]
        if found[2] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTENCE.fullmatch(term):
        key, present = found[2], not found[1]
        return lambda labels: (key in labels) is present
    raise bad_request(f"unable to parse requirement: found '{term}', expected: a label selector")


def _field(obj: Object, path: str) -> str:
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
