"""The least-privilege role of a remediation, generated from what it really called. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday.intercept.calls import Call


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One verb on one resource; `namespace` is empty for all of them (a ClusterRole)."""

    namespace: str
    group: str
    resource: str
    verb: str


def used(calls: Iterable[Call]) -> set[Permission]:
    """The permissions that calls to the API server took. Discovery needs none of its own."""
    return {
        Permission(
            call.namespace,
            call.group,
            f"{call.resource}/{call.subresource}" if call.subresource else call.resource,
            call.verb,
        )
        for call in calls
        if call.surface == "kubernetes" and call.resource
    }


def granted(roles: Sequence[Mapping[str, Any]]) -> set[Permission]:
    """What Roles and ClusterRoles (as manifests) grant. A ClusterRole grants in all namespaces."""
    return {
        Permission("" if role["kind"] == "ClusterRole" else role["metadata"]["namespace"], group, resource, verb)
        for role in roles
        for rule in role.get("rules") or ()
        for group in rule.get("apiGroups") or ("",)
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def covers(have: set[Permission], wanted: Permission) -> bool:
    """Whether a permission is granted, in its namespace or in all."""
    everywhere = Permission("", wanted.group, wanted.resource, wanted.verb)
    return wanted in have or everywhere in have


def rules(permissions: Iterable[Permission]) -> list[dict[str, Any]]:
    """RBAC rules, one for each set of resources that share group and verbs."""
    verbs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in permissions:
        verbs[each.group, each.resource].add(each.verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), needed in sorted(verbs.items()):
        together[group, tuple(sorted(needed))].append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(needed)}
        for (group, needed), resources in together.items()
    ]
