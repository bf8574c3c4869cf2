"""Roles and bindings, indexed by subject: the decision is pure and looks at nothing but these objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from cluster.embedded.apiserver.authorization.attributes import MASTERS, Attributes, User
from cluster.embedded.apiserver.authorization.rules import Rule
from cluster.embedded.resources import Object

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an action is allowed, and why (in the words of a real server, often empty)."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one binding gives to one subject: the rules of its role, or a problem why it gives nothing."""

    rules: tuple[Rule, ...]
    raw: tuple[Object, ...]
    binding: Object
    subject: Object
    problem: str = ""

    def describe(self) -> str:
        """``RoleBinding "b/ns" of Role "r" to User "u"``."""
        metadata, role = self.binding["metadata"], self.binding["roleRef"]
        namespace = metadata.get("namespace")
        kind, name = ("RoleBinding", f"{metadata['name']}/{namespace}") if namespace else (
            "ClusterRoleBinding", metadata["name"]
        )  # fmt: skip
        to = self.subject.get("name", "")
        if self.subject.get("kind") == "ServiceAccount":
            to = f"{to}/{self.subject.get('namespace') or namespace}"
        return f'{kind} "{name}" of {role.get("kind")} "{role.get("name")}" to {self.subject.get("kind")} "{to}"'


@dataclass(frozen=True, slots=True)
class _Identity:
    """What bindings can name of a user."""

    name: str
    groups: tuple[str, ...]


_Subject = tuple[str, str]
"""("User" or "Group", name); a ServiceAccount counts as the User that its tokens are."""


_Index = dict[_Subject, list[tuple[Object, Object]]]
"""The bindings of one scope by what they name: (binding, subject)."""


class Policy:
    """The roles and bindings of a cluster at one moment.

    Args:
        roles, cluster_roles, role_bindings, cluster_role_bindings: the objects; they must not change.
    """

    def __init__(
        self,
        roles: Iterable[Object] = (),
        cluster_roles: Iterable[Object] = (),
        role_bindings: Iterable[Object] = (),
        cluster_role_bindings: Iterable[Object] = (),
    ) -> None:
        self._roles = {(r["metadata"].get("namespace", ""), r["metadata"]["name"]): r for r in roles}
        self._cluster_roles = {r["metadata"]["name"]: r for r in cluster_roles}
        self._everywhere = _index(cluster_role_bindings)
        by_namespace: dict[str, list[Object]] = {}
        for binding in role_bindings:
            by_namespace.setdefault(binding["metadata"]["namespace"], []).append(binding)
        self._within = {namespace: _index(bindings) for namespace, bindings in by_namespace.items()}
        self._held = lru_cache(maxsize=4096)(self._find)

    def authorize(self, user: User, asked: Attributes) -> Decision:
        """Decide on one action of a user."""
        if MASTERS in user.groups:
            return Decision(True)
        grants = self.grants(user, asked.namespace)
        for grant in grants:
            for rule in grant.rules:
                if rule.allows(asked):
                    return Decision(True, f"RBAC: allowed by {grant.describe()}")
        problems = list(dict.fromkeys(grant.problem for grant in grants if grant.problem))
        if not problems:
            return Decision(False)
        return Decision(False, f"RBAC: {problems[0] if len(problems) == 1 else '[' + ', '.join(problems) + ']'}")

    def grants(self, user: User, namespace: str) -> tuple[Grant, ...]:
        """What a user holds in a namespace; with namespace "" what it holds everywhere."""
        return self._held(_Identity(user.name, user.groups), namespace)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """The rules a user holds in a namespace; with namespace "" those it holds everywhere."""
        return [rule for grant in self.grants(user, namespace) for rule in grant.rules]

    def role_rules(self, binding: Object) -> list[Object] | None:
        """The rules of the role that a binding refers to, None when there is no such role."""
        role = self._role(binding)
        return None if role is None else list(role.get("rules") or [])

    def _find(self, identity: _Identity, namespace: str) -> tuple[Grant, ...]:
        scopes = (self._everywhere, self._within.get(namespace, {}))
        return tuple(self._grant(*named) for scope in scopes for named in _naming(scope, identity))

    def _grant(self, binding: Object, subject: Object) -> Grant:
        raw = self.role_rules(binding)
        if raw is None:
            reference = binding["roleRef"]
            plural = f"{reference.get('kind', '')}.{_GROUP}".lower()
            problem = f"{plural} {json.dumps(reference.get('name', ''))} not found"
            return Grant((), (), binding, subject, problem)
        return Grant(tuple(Rule.of(rule) for rule in raw), tuple(raw), binding, subject)

    def _role(self, binding: Object) -> Object | None:
        reference = binding.get("roleRef") or {}
        if reference.get("kind") == "ClusterRole":
            return self._cluster_roles.get(reference.get("name", ""))
        namespace = binding["metadata"].get("namespace")
        return self._roles.get((namespace, reference.get("name", ""))) if namespace else None


def _index(bindings: Iterable[Object]) -> _Index:
    """Rules are left out: of most users nobody asks before the next change."""
    index: _Index = {}
    for binding in bindings:
        for subject, key in _subjects(binding):
            index.setdefault(key, []).append((binding, subject))
    return index


def _naming(index: _Index, identity: _Identity) -> list[tuple[Object, Object]]:
    """The bindings that name a user or one of its groups, in the order of their names."""
    keys = [("User", identity.name), *(("Group", group) for group in identity.groups)]
    found = [named for key in keys for named in index.get(key, ())]
    return sorted(found, key=lambda named: str(named[0]["metadata"]["name"]))


def _subjects(binding: Object) -> Iterator[tuple[Object, _Subject]]:
    for subject in binding.get("subjects") or []:
        match subject.get("kind"):
            case "User" | "Group" as kind:
                yield subject, (kind, subject.get("name", ""))
            case "ServiceAccount":
                namespace = subject.get("namespace") or binding["metadata"].get("namespace")
                if namespace:
                    yield subject, ("User", f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{subject.get('name', '')}")
