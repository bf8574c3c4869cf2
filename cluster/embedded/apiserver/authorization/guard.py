"""What a write needs beyond the permission for its verb: no one may grant more than they hold.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from cluster.embedded.apiserver.adapter import Adapter, WriteOptions
from cluster.embedded.apiserver.authorization.attributes import MASTERS, Attributes, User
from cluster.embedded.apiserver.authorization.authorizer import Authorizer
from cluster.embedded.apiserver.authorization.policy import Policy
from cluster.embedded.apiserver.authorization.refusals import refused
from cluster.embedded.apiserver.authorization.rules import Rule, describe, missing, quoted
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.status import not_found
from cluster.embedded.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Object, Resource

_EVERYTHING = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]


@dataclass(frozen=True, slots=True)
class Requester:
    """Who makes the request that is being answered, and what it asks for."""

    user: User
    asked: Attributes


requester: ContextVar[Requester] = ContextVar("requester")
"""The requester of the current request; set by the HTTP server."""


class GuardedAdapter(Adapter):
    """An Adapter that checks what its caller may grant. Every method raises ApiError."""

    def __init__(self, registry: Registry, authorizer: Authorizer) -> None:
        super().__init__(registry)
        self._authorizer = authorizer

    def create(self, resource: Resource, namespace: str | None, obj: Object, options: WriteOptions) -> Object:
        current = requester.get()
        if current.asked.verb != "create":  # a PUT of something that is not there
            self._authorizer.require(current.user, replace(current.asked, verb="create"))
        write = super().create
        self._check(resource, None, options, lambda how: write(resource, namespace, obj, how))
        return write(resource, namespace, obj, options)

    def update(self, resource: Resource, obj: Object, options: WriteOptions, *, subresource: str = "") -> Object:
        parent = super().update

        def write(how: WriteOptions) -> Object:
            return parent(resource, obj, how, subresource=subresource)

        metadata = obj.get("metadata") or {}
        old = self._old(resource, metadata.get("namespace"), metadata.get("name") or "")
        current = requester.get()
        if old is None:
            write(_rehearsal(options))  # whether the resource is created by a PUT at all
            self._authorizer.require(current.user, replace(current.asked, verb="create"))
        self._check(resource, old, options, write)
        return write(options)

    def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Any,
        options: WriteOptions,
        *,
        patch_type: str,
        subresource: str = "",
    ) -> Object:
        parent = super().patch

        def write(how: WriteOptions) -> Object:
            return parent(resource, namespace, name, patch, how, patch_type=patch_type, subresource=subresource)

        old = self._old(resource, namespace, name)
        current = requester.get()
        if old is None and patch_type == "apply":
            self._authorizer.require(current.user, replace(current.asked, verb="create"))
        self._check(resource, old, options, write)
        return write(options)

    def _old(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        return self.get(resource, namespace, name) if self.exists(resource, namespace, name) else None

    def _check(
        self, resource: Resource, old: Object | None, options: WriteOptions, write: Callable[[WriteOptions], Object]
    ) -> None:
        """Rehearse a write of a role or binding, and look at what it would store."""
        user = requester.get().user
        if resource not in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS) or MASTERS in user.groups:
            return
        new = write(_rehearsal(options))
        check_grant(self._authorizer.policy, user, resource, old, new)


def _rehearsal(options: WriteOptions) -> WriteOptions:
    return replace(copy.deepcopy(options), dry_run=True)


def check_grant(policy: Policy, user: User, resource: Resource, old: Object | None, new: Object) -> None:
    """Raises ApiError 403 when a role or binding gives more than its writer holds."""
    if MASTERS in user.groups:
        return
    metadata = new["metadata"]
    asked = Attributes("", resource.group, resource.plural, "", metadata.get("name", ""), metadata.get("namespace", ""))
    if resource in (ROLES, CLUSTER_ROLES):
        _check_role(policy, user, asked, old, new)
    else:
        _check_binding(policy, user, asked, old, new)


def _check_role(policy: Policy, user: User, asked: Attributes, old: Object | None, new: Object) -> None:
    wanted = list(new.get("rules") or [])
    if _changed(old, new, "aggregationRule") and new.get("aggregationRule"):
        wanted += _EVERYTHING  # what will be aggregated is not known
    elif not _changed(old, new, "rules"):
        return
    if not policy.authorize(user, replace(asked, verb="escalate")).allowed:
        _require_held(policy, user, asked, wanted)


def _check_binding(policy: Policy, user: User, asked: Attributes, old: Object | None, new: Object) -> None:
    if not _changed(old, new, "roleRef") and not _changed(old, new, "subjects"):
        return
    reference = new.get("roleRef") or {}
    role = CLUSTER_ROLES if reference.get("kind") == "ClusterRole" else ROLES
    name = reference.get("name", "")
    if policy.authorize(user, replace(asked, verb="bind", resource=role.plural, name=name)).allowed:
        return
    rules = policy.role_rules(new)
    if rules is None:
        raise not_found(role, name)
    _require_held(policy, user, asked, rules)


def _require_held(policy: Policy, user: User, asked: Attributes, wanted: list[Object]) -> None:
    lacking = missing(policy.rules(user, asked.namespace), [Rule.of(rule) for rule in wanted])
    if lacking:
        text = "\n".join(describe(lacking))
        who = f"user {json.dumps(user.name)} (groups={quoted(user.groups)})"
        raise refused(asked, f"{who} is attempting to grant RBAC permissions not currently held:\n{text}")


def _changed(old: Object | None, new: Object, key: str) -> bool:
    return old is None or (old.get(key) or None) != (new.get(key) or None)
