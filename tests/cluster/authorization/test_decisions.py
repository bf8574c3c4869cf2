"""The pure decision: against a second formulation, and case by case."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.embedded.apiserver.authorization.attributes import ANONYMOUS_USER, Attributes, User, of_request
from cluster.embedded.apiserver.authorization.policy import Policy
from cluster.embedded.apiserver.authorization.refusals import forbidden
from cluster.embedded.apiserver.authorization.rules import Rule, describe, missing
from tests.cluster.authorization import strategies
from tests.cluster.authorization.conftest import role_binding, rule
from tests.cluster.authorization.naive import World, allowed, permits

JANE = User("jane", ("team",))


def policy(world: World) -> Policy:
    return Policy(world.roles, world.cluster_roles, world.role_bindings, world.cluster_role_bindings)


@given(strategies.worlds(), strategies.users, st.lists(strategies.actions, min_size=5, max_size=20))
@settings(max_examples=300, deadline=None)
def test_the_index_decides_as_the_text_of_rbac_does(world: World, user: User, actions: list[Attributes]) -> None:
    indexed = policy(world)
    for asked in actions:
        assert indexed.authorize(user, asked).allowed == allowed(world, user, asked), asked


@given(strategies.rules)
@settings(max_examples=200, deadline=None)
def test_a_rule_allows_what_its_text_says_for_every_action(raw: Any) -> None:
    compiled = Rule.of(raw)
    for asked in ALL_ACTIONS:
        assert compiled.allows(asked) == permits(raw, asked), asked


@pytest.mark.parametrize(
    ("resources", "resource", "subresource", "expected"),
    [
        ("pods", "pods", "", True), ("pods", "pods", "exec", False), ("pods/exec", "pods", "exec", True),
        ("pods/exec", "pods", "", False), ("*", "pods", "exec", True), ("*/scale", "deployments", "scale", True),
        ("*/scale", "deployments", "", False), ("*/scale", "deployments", "status", False),
        ("pods/*", "pods", "exec", False),
    ],
)  # fmt: skip
def test_resources_and_subresources(resources: str, resource: str, subresource: str, expected: bool) -> None:
    asked = Attributes("get", "", resource, subresource, "x", "one")
    assert Rule.of(rule("get", resources)).allows(asked) == expected


@given(st.lists(strategies.rules, max_size=3), st.lists(strategies.rules, min_size=1, max_size=2))
@settings(max_examples=200, deadline=None)
def test_rules_that_cover_others_allow_all_that_those_allow(held: list[Any], wanted: list[Any]) -> None:
    if missing(map(Rule.of, held), map(Rule.of, wanted)):
        return
    for asked in ALL_ACTIONS:
        if any(permits(r, asked) for r in wanted):
            assert any(permits(r, asked) for r in held), asked


@given(st.lists(strategies.rules, max_size=3), st.lists(strategies.rules, min_size=1, max_size=2))
@settings(max_examples=200, deadline=None)
def test_rules_cover_themselves_and_what_is_missing_completes_them(held: list[Any], wanted: list[Any]) -> None:
    have, want = [Rule.of(r) for r in held], [Rule.of(r) for r in wanted]
    assert missing(want, want) == []
    assert missing([*have, *missing(have, want)], want) == []


ALL_ACTIONS = [
    Attributes(verb, group, resource, sub, name)
    for verb, group, resource, sub, name in itertools.product(
        strategies.VERBS, strategies.GROUPS, strategies.RESOURCES, strategies.SUBRESOURCES, strategies.NAMES
    )
] + [Attributes(verb, path=path) for verb in strategies.VERBS for path in strategies.PATHS]


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, Attributes("list", resource="pods")),
        ("GET", "/api/v1/namespaces/a/pods", {}, Attributes("list", resource="pods", namespace="a")),
        ("GET", "/api/v1/namespaces/a/pods", {"watch": "1"}, Attributes("watch", resource="pods", namespace="a")),
        ("GET", "/api/v1/namespaces/a/pods", {"watch": "false"}, Attributes("list", resource="pods", namespace="a")),
        ("GET", "/api/v1/watch/namespaces/a/pods", {}, Attributes("watch", resource="pods", namespace="a")),
        ("DELETE", "/api/v1/watch/namespaces/a/pods", {}, Attributes("deletecollection", "", "pods", "", "", "a")),
        ("POST", "/api/v1/watch/namespaces/a/pods", {}, Attributes("create", resource="pods", namespace="a")),
        ("DELETE", "/api/v1/namespaces/a/pods", {}, Attributes("deletecollection", "", "pods", "", "", "a")),
        ("DELETE", "/api/v1/namespaces/a/pods/p", {}, Attributes("delete", "", "pods", "", "p", "a")),
        ("GET", "/api/v1/namespaces/a", {}, Attributes("get", "", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", {}, Attributes("update", "", "namespaces", "finalize", "a", "a")),
        ("GET", "/api/v1/namespaces", {}, Attributes("list", resource="namespaces")),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", {}, Attributes("create", "", "pods", "exec", "p", "a")),
        (
            "PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", {},
            Attributes("patch", "apps", "deployments", "scale", "d", "a"),
        ),
        (
            "GET", "/api/v1/namespaces/a/secrets", {"fieldSelector": "metadata.name=s"},
            Attributes("list", "", "secrets", "", "s", "a"),
        ),
        (
            "GET", "/api/v1/namespaces/a/secrets", {"fieldSelector": "metadata.name!=s"},
            Attributes("list", "", "secrets", "", "", "a"),
        ),
        ("GET", "/api/v1", {}, Attributes("get", path="/api/v1")),
        ("GET", "/apis/apps/v1", {}, Attributes("get", path="/apis/apps/v1")),
        ("GET", "/metrics", {}, Attributes("get", path="/metrics")),
        ("GET", "/apis/nosuch.io/v1/things", {}, Attributes("list", "nosuch.io", "things")),
    ],
)  # fmt: skip
def test_what_a_request_asks_for(method: str, path: str, query: dict[str, str], expected: Attributes) -> None:
    assert of_request(method, path, query) == expected


def test_refusals_read_as_on_a_real_server() -> None:
    recorded = (
        'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" '
        "at the cluster scope"
    )
    error = forbidden(ANONYMOUS_USER, Attributes("list", resource="namespaces"))
    assert (error.code, str(error), error.status["details"]) == (403, recorded, {"kind": "namespaces"})
    path = forbidden(ANONYMOUS_USER, Attributes("get", path="/metrics"))
    assert str(path) == 'forbidden: User "system:anonymous" cannot get path "/metrics"'
    sub = forbidden(JANE, Attributes("create", "", "pods", "exec", "p", "system"))
    assert str(sub) == (
        'pods "p" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" '
        'in the namespace "system"'
    )


def test_a_binding_to_a_role_that_is_gone_is_the_hint_in_the_refusal() -> None:
    binding = role_binding("b", "Role", "gone", {"kind": "User", "name": "jane"})
    binding["metadata"]["namespace"] = "one"
    decision = Policy(role_bindings=[binding]).authorize(JANE, Attributes("get", resource="pods", namespace="one"))
    assert decision.reason == 'RBAC: role.rbac.authorization.k8s.io "gone" not found'
    assert not decision.allowed


def test_the_reason_of_a_yes_names_binding_role_and_subject() -> None:
    world = World(
        cluster_roles=[{"metadata": {"name": "r"}, "rules": [rule("get", "pods")]}],
        cluster_role_bindings=[role_binding("c", "ClusterRole", "r", {"kind": "Group", "name": "team"})],
    )
    decision = policy(world).authorize(JANE, Attributes("get", resource="pods", namespace="one"))
    assert decision.reason == 'RBAC: allowed by ClusterRoleBinding "c" of ClusterRole "r" to Group "team"'


def test_missing_rights_are_named_with_the_verbs_of_a_resource_together() -> None:
    wanted = [Rule.of(rule("watch get", "pods secrets")), Rule.of({"verbs": ["get"], "nonResourceURLs": ["/x"]})]
    assert describe(missing([Rule.of(rule("get", "pods"))], wanted)) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "watch"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]
