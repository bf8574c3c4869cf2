"""Label and field selectors: text in, predicate out, with the parse errors of a real API server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.conversion import is_foreign_field, storage_of, stored_field
from cluster.embedded.resources import (
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    Object,
    Resource,
)

Predicate = Callable[[Object], bool]

_TOKEN = re.compile(r"\s*(?:(?P<op>==|!=|[=!<>(),])|(?P<word>[^\s=!<>(),]+))")
_COMPARISONS = "in, notin, =, ==, !=, gt, lt"
_ALWAYS_SUPPORTED = ("metadata.name", "metadata.namespace")
_SUPPORTED = {
    PODS.group_resource: (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    ),
    NODES.group_resource: ("spec.unschedulable",),
    NAMESPACES.group_resource: ("status.phase",),
    SECRETS.group_resource: ("type",),
    SERVICES.group_resource: ("spec.clusterIP", "spec.type"),
    EVENTS.group_resource: (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    "replicationcontrollers": ("status.replicas",),
}  # fmt: skip
_BOOLEANS = ("spec.hostNetwork", "spec.unschedulable")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector. ``operator`` is in, notin, exists, absent, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object's labels satisfy the term."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "absent":
            return value is None
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            number, bound = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > bound if self.operator == "gt" else number < bound


@lru_cache(maxsize=256)
def label_selector(text: str) -> Predicate:
    """A predicate for ``a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1``. Raises ApiError 400."""
    if not text:
        return _everything
    requirements = tuple(_Parser(text).requirements())
    return lambda obj: all(r.matches(obj["metadata"].get("labels") or {}) for r in requirements)


def selector_matches(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether labels match a LabelSelector object (matchLabels and matchExpressions). None matches nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    return all(
        e.get("operator") in operators
        and Requirement(e.get("key", ""), operators[e["operator"]], frozenset(e.get("values", ()))).matches(labels)
        for e in selector.get("matchExpressions") or ()
    )


@lru_cache(maxsize=256)
def field_selector(text: str, resource: Resource | None = None) -> Predicate:
    """A predicate for ``spec.nodeName=x,status.phase!=y``.

    Args:
        text: the selector.
        resource: which fields it may name; None allows any.

    Raises:
        ApiError: 400 for a bad selector or a field that the resource cannot be selected by.
    """
    terms = [_field_term(term) for term in _split_fields(text)]
    if resource is not None:
        for path, _, _ in terms:
            _check_supported(resource, path)
    if not terms:
        return _everything
    if resource is not None:
        terms = [(stored_field(resource, path), wanted, value) for path, wanted, value in terms]
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in terms)


def _everything(obj: Object) -> bool:
    return True


class _Parser:
    """A recursive-descent parser of label selectors."""

    def __init__(self, text: str) -> None:
        self._tokens = [match["op"] or match["word"] for match in _TOKEN.finditer(text)]
        self._position = 0

    def requirements(self) -> Iterator[Requirement]:
        if not self._tokens:
            return
        if not (self._peek() == "!" or self._is_word(self._peek())):
            raise status.bad_request(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while True:
            yield self._requirement()
            found = self._next()
            if not found:
                return
            if found != ",":
                raise status.bad_request(f"found '{found}', expected: ',' or 'end of string'")
            if not (self._peek() == "!" or self._is_word(self._peek())):
                raise status.bad_request(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return Requirement(self._key(), "absent")
        key = self._key()
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._next()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._set())
        if operator in ("=", "==", "!="):
            return Requirement(key, "notin" if operator == "!=" else "in", frozenset((self._exact(),)))
        if operator in ("<", ">"):
            return self._comparison(key, operator)
        raise _bad(f"found '{operator}', expected: {_COMPARISONS}")

    def _comparison(self, key: str, operator: str) -> Requirement:
        value = self._exact()
        if not re.fullmatch(r"[+-]?\d+", value):
            rule = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _bad(f'values[0][{key}]: Invalid value: "{value}": {rule}')
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset((value,)))

    def _key(self) -> str:
        token = self._next()
        if not self._is_word(token):
            raise _bad(f"found '{token}', expected: identifier")
        return token

    def _exact(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        if not self._is_word(token):
            raise _bad(f"found '{token}', expected: identifier")
        return token

    def _set(self) -> frozenset[str]:
        if (token := self._next()) != "(":
            raise _bad(f"found '{token}' expected: '('")
        values, word_due = set(), True
        while (found := self._next()) != ")":
            if self._is_word(found) and word_due:
                values.add(found)
                word_due = False
            elif found != ",":
                raise _bad(f"found '{found}', expected: ',' or ')'")
            else:
                values.update({""} if word_due else ())
                word_due = True
        return frozenset(values | {""} if word_due else values)

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    @staticmethod
    def _is_word(token: str) -> bool:
        return bool(token) and token[0] not in "=!<>(),"


def _bad(problem: str) -> Exception:
    return status.bad_request(f"unable to parse requirement: {problem}")


def _split_fields(text: str) -> list[str]:
    return [term for term in re.split(r"(?<!\\),", text) if term]


def _field_term(term: str) -> tuple[str, bool, str]:
    match = re.match(r"([^=!]*)(==|!=|=)(.*)", term)
    if match is None:
        raise status.bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
    return match[1], match[2] != "!=", re.sub(r"\\([,=\\])", r"\1", match[3])


def _check_supported(resource: Resource, path: str) -> None:
    if is_foreign_field(resource, path):
        raise status.bad_request(f"field label not supported: {path}")
    path, resource = stored_field(resource, path), storage_of(resource)
    if path in _ALWAYS_SUPPORTED or path in _SUPPORTED.get(resource.group_resource, ()):
        return
    if resource.group_resource in _SUPPORTED and resource.group == "":
        raise status.bad_request(f"field label not supported: {path}")
    known = ", ".join(f'"{name}"' for name in _ALWAYS_SUPPORTED)
    raise status.bad_request(f'"{path}" is not a known field selector: only {known}')


def _field(obj: Object, path: str) -> str:
    if path == "source":
        return str(obj.get("source", {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path in _BOOLEANS:
        return "true" if value else "false"
    return "" if value is None else str(value)
