"""Nobody grants more than they hold, and nobody becomes somebody else without permission."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.authorization.conftest import CORE, NAMESPACE, RBAC, Caller, Cluster, account, role_binding, rule

SCOPE = f"{RBAC}/namespaces/{NAMESPACE}"
RBAC_GROUP = "rbac.authorization.k8s.io"
WRITES_ROLES = rule("get list create update patch", "roles rolebindings", RBAC_GROUP)
POD_READER = rule("get list", "pods")
APPLY = {"Content_Type": "application/apply-patch+yaml"}


@pytest.fixture
def manager(cluster: Cluster) -> Caller:
    """May write roles and bindings of the namespace, and read pods."""
    return cluster.bound("manager", WRITES_ROLES, POD_READER)


def test_a_role_with_rights_one_lacks_is_refused(manager: Caller) -> None:
    mine = {"metadata": {"name": "mine"}, "rules": [rule("get", "pods")]}
    assert manager("POST", f"{SCOPE}/roles", mine).status_code == 201
    more = {"metadata": {"name": "more"}, "rules": [rule("get delete", "pods"), rule("get", "secrets")]}
    refused = manager("POST", f"{SCOPE}/roles", more)
    assert refused.status_code == 403
    assert refused.json()["message"] == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "system:serviceaccount:system:manager" '
        '(groups=["system:serviceaccounts" "system:serviceaccounts:system" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    assert refused.json()["details"] == {"name": "more", "group": RBAC_GROUP, "kind": "roles"}
    assert manager("GET", f"{SCOPE}/roles/more").status_code == 404


def test_every_way_of_writing_a_role_is_guarded(manager: Caller) -> None:
    url, grab = f"{SCOPE}/roles/manager", [WRITES_ROLES, rule("*", "*", "*")]
    body = {"apiVersion": f"{RBAC_GROUP}/v1", "kind": "Role", "metadata": {"name": "manager"}, "rules": grab}
    json_patch = [{"op": "add", "path": "/rules/-", "value": grab[1]}]
    answers = [
        manager("PUT", url, body),
        manager("PATCH", url, {"rules": grab}, Content_Type="application/merge-patch+json"),
        manager("PATCH", url, {"rules": grab}, Content_Type="application/strategic-merge-patch+json"),
        manager("PATCH", url, json_patch, Content_Type="application/json-patch+json"),
        manager("PATCH", f"{url}?fieldManager=me&force=true", body, **APPLY),
        manager("PUT", f"{url}?dryRun=All", body),
        manager("PATCH", f"{SCOPE}/roles/new?fieldManager=me", {**body, "metadata": {"name": "new"}}, **APPLY),
    ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert all("not currently held" in answer.text for answer in answers)
    assert manager("GET", url).json()["rules"] == [WRITES_ROLES, POD_READER]
    labelled = {"metadata": {"labels": {"a": "b"}}}
    assert manager("PATCH", url, labelled, Content_Type="application/merge-patch+json").status_code == 200


def test_a_binding_to_a_role_with_more_rights_is_refused(cluster: Cluster, manager: Caller) -> None:
    me = account("manager")
    for name in ("cluster-admin", "edit"):
        refused = manager("POST", f"{SCOPE}/rolebindings", role_binding("up", "ClusterRole", name, me))
        assert (refused.status_code, "not currently held" in refused.text) == (403, True)
    own = manager("POST", f"{SCOPE}/rolebindings", role_binding("own", "Role", "manager", account("default")))
    assert own.status_code == 201
    missing = manager("POST", f"{SCOPE}/rolebindings", role_binding("none", "Role", "nosuch", me))
    assert missing.status_code == 404
    cluster.admin.create(f"{SCOPE}/rolebindings", role_binding("edit", "ClusterRole", "edit", account("default")))
    to_me = {"subjects": [me]}
    taken = manager("PATCH", f"{SCOPE}/rolebindings/edit", to_me, Content_Type="application/merge-patch+json")
    assert (taken.status_code, "not currently held" in taken.text) == (403, True)
    assert manager("GET", f"{CORE}/secrets").status_code == 403


@pytest.mark.parametrize(
    ("verb", "names", "expected"), [("bind", "edit", 201), ("bind", "view", 403), ("get", "", 403)]
)
def test_bind_lets_one_bind_a_role_by_name(cluster: Cluster, verb: str, names: str, expected: int) -> None:
    caller = cluster.bound("binder", WRITES_ROLES, rule(verb, "clusterroles", RBAC_GROUP, names))
    body = role_binding("up", "ClusterRole", "edit", account("binder"))
    assert caller("POST", f"{SCOPE}/rolebindings", body).status_code == expected
    assert caller("GET", f"{CORE}/secrets").status_code == (200 if expected == 201 else 403)


def test_escalate_lets_one_write_any_role(cluster: Cluster) -> None:
    caller = cluster.bound("lawmaker", WRITES_ROLES, rule("escalate", "roles", RBAC_GROUP))
    any_role = {"metadata": {"name": "any"}, "rules": [rule("*", "*", "*")]}
    assert caller("POST", f"{SCOPE}/roles", any_role).status_code == 201


def test_rights_in_a_namespace_do_not_count_for_the_cluster(cluster: Cluster) -> None:
    caller = cluster.bound("local", POD_READER)
    writes = {"metadata": {"name": "writes"}, "rules": [rule("create", "clusterroles", RBAC_GROUP)]}
    cluster.admin.create(f"{RBAC}/clusterroles", writes)
    to = account("local")
    cluster.admin.create(f"{RBAC}/clusterrolebindings", role_binding("writes", "ClusterRole", "writes", to))
    everywhere = {"metadata": {"name": "everywhere"}, "rules": [POD_READER]}
    assert caller("POST", f"{RBAC}/clusterroles", everywhere).status_code == 403
    aggregating: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    assert caller("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "all"}, **aggregating}).status_code == 403
    assert caller("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "none"}, "rules": []}).status_code == 201


def test_the_cluster_s_own_token_grants_anything(cluster: Cluster) -> None:
    cluster.admin.create(f"{SCOPE}/roles", {"metadata": {"name": "any"}, "rules": [rule("*", "*", "*")]})


def test_impersonation_needs_permission_for_each_part(cluster: Cluster) -> None:
    caller = cluster.account("actor")
    rules = [rule("impersonate", "users", names="jane"), rule("impersonate", "groups", names="team")]
    cluster.admin.create(f"{RBAC}/clusterroles", {"metadata": {"name": "act"}, "rules": rules})
    cluster.admin.create(f"{RBAC}/clusterrolebindings", role_binding("act", "ClusterRole", "act", account("actor")))
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    seen = caller("POST", who, {}, Impersonate_User="jane", Impersonate_Group="team")
    assert seen.json()["status"]["userInfo"] == {"username": "jane", "groups": ["team", "system:authenticated"]}
    for headers in (
        {"Impersonate_User": "john"},
        {"Impersonate_User": "jane", "Impersonate_Group": "system:masters"},
        {"Impersonate_User": "jane", "Impersonate_Uid": "1"},
        {"Impersonate_User": "jane", "Impersonate_Extra_Scopes": "all"},
        {"Impersonate_User": "system:serviceaccount:system:default"},
    ):
        refused = caller("POST", who, {}, **headers)
        assert (refused.status_code, "cannot impersonate resource" in refused.text) == (403, True), headers
    assert caller("POST", who, {}, Impersonate_Group="team").status_code == 500
    as_account = cluster.admin("POST", who, {}, Impersonate_User="system:serviceaccount:system:default").json()
    assert as_account["status"]["userInfo"]["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:system", "system:authenticated"
    ]  # fmt: skip
    scoped = cluster.admin("POST", who, {}, Impersonate_User="x", Impersonate_Extra_Scopes="all").json()
    assert scoped["status"]["userInfo"]["extra"] == {"scopes": ["all"]}
