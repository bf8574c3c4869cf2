"""RBAC worked out a second time, from the objects alone and without any index: slow, and easy to compare with the text.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cluster.embedded.apiserver.authorization.attributes import Attributes, User

Object = dict[str, Any]


@dataclass
class World:
    """All roles and bindings."""

    roles: list[Object] = field(default_factory=list)
    cluster_roles: list[Object] = field(default_factory=list)
    role_bindings: list[Object] = field(default_factory=list)
    cluster_role_bindings: list[Object] = field(default_factory=list)


def allowed(world: World, user: User, asked: Attributes) -> bool:
    if "system:masters" in user.groups:
        return True
    for binding in world.cluster_role_bindings:
        if concerns(binding, user) and any(permits(r, asked) for r in rules_of(world, binding)):
            return True
    for binding in world.role_bindings:
        if not asked.namespace or binding["metadata"]["namespace"] != asked.namespace:
            continue
        if concerns(binding, user) and any(permits(r, asked) for r in rules_of(world, binding)):
            return True
    return False


def rules_of(world: World, binding: Object) -> list[Object]:
    reference = binding["roleRef"]
    candidates = world.cluster_roles if reference["kind"] == "ClusterRole" else world.roles
    for role in candidates:
        same_place = (
            reference["kind"] == "ClusterRole"
            or role["metadata"]["namespace"] == binding["metadata"].get("namespace")
        )  # fmt: skip
        if same_place and role["metadata"]["name"] == reference["name"]:
            rules: list[Object] = role.get("rules") or []
            return rules
    return []


def concerns(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or []:
        if subject["kind"] == "User" and subject["name"] == user.name:
            return True
        if subject["kind"] == "Group" and subject["name"] in user.groups:
            return True
        if subject["kind"] == "ServiceAccount":
            namespace = subject.get("namespace") or binding["metadata"].get("namespace")
            if namespace and user.name == f"system:serviceaccount:{namespace}:{subject['name']}":
                return True
    return False


def permits(rule: Object, asked: Attributes) -> bool:
    if not one_of(asked.verb, rule.get("verbs")):
        return False
    if asked.path:
        for url in rule.get("nonResourceURLs") or []:
            if url in ("*", asked.path) or (url[-1:] == "*" and asked.path[: len(url) - 1] == url[:-1]):
                return True
        return False
    if not one_of(asked.group, rule.get("apiGroups")):
        return False
    if rule.get("resourceNames") and asked.name not in rule["resourceNames"]:
        return False
    for resource in rule.get("resources") or []:
        if resource == "*":
            return True
        wanted, _, sub = resource.partition("/")
        if sub != asked.subresource:
            continue
        if wanted == asked.resource or (wanted == "*" and sub):
            return True
    return False


def one_of(value: str, listed: list[str] | None) -> bool:
    return "*" in (listed or []) or value in (listed or [])
