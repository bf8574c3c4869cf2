"""What a request asks for, in the terms that authorization decides on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.embedded.apiserver.watch import is_true

MASTERS = "system:masters"
"""The group that may do everything, whatever the roles say."""
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = "system:anonymous"

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_NAME_FIELD = re.compile(r"metadata\.name==?([^=!,\\]+)")


@dataclass(frozen=True, slots=True)
class User:
    """Who makes a request. ``extra`` holds what else the authentication knows, such as the pod of a token."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


ANONYMOUS_USER = User(ANONYMOUS, (UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True)
class Attributes:
    """One action: a verb on a resource, or on a path that is not a resource (then ``path`` is set)."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""

    @property
    def combined_resource(self) -> str:
        """``pods`` or ``pods/exec``, as rules name them."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def of_request(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    """The attributes of an HTTP request; works for resources that do not exist, too."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", _, *rest] if rest:
            return _of_resource(method, "", rest, query)
        case ["apis", group, _, *rest] if rest:
            return _of_resource(method, group, rest, query)
    return Attributes(_VERBS.get(method, method.lower()), path=path)


def _of_resource(method: str, group: str, parts: list[str], query: Mapping[str, str]) -> Attributes:
    watched = parts[0] == "watch" and len(parts) > 1
    namespace, parts = _split_namespace(parts[1:] if watched else parts)
    resource, name, subresource = [*parts, "", ""][:3]
    verb = _VERBS.get(method, method.lower())
    # Only a GET watches: the old /watch/ prefix must not turn a write into a "watch".
    if verb == "get" and watched:
        verb = "watch"
    elif verb == "get" and not name:
        verb = "watch" if is_true(query.get("watch")) else "list"
    elif verb == "delete" and not name:
        verb = "deletecollection"
    if verb in ("list", "watch") and not name:
        name = _selected_name(query.get("fieldSelector", ""))
    return Attributes(verb, group, resource, subresource, name, namespace)


def _split_namespace(parts: list[str]) -> tuple[str, list[str]]:
    """A namespace counts as being within itself, so that a RoleBinding can grant ``get`` of it."""
    match parts:
        case ["namespaces", namespace, inner, *_] if inner not in _NAMESPACE_SUBRESOURCES:
            return namespace, parts[2:]
        case ["namespaces", namespace, *_]:
            return namespace, parts
        case _:
            return "", parts


def _selected_name(field_selector: str) -> str:
    """The one name that a field selector leaves: who may list an object by its name may ask for that list."""
    for term in field_selector.split(","):
        if found := _NAME_FIELD.fullmatch(term.strip()):
            return found[1]
    return ""
