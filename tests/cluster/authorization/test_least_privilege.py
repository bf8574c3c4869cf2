"""Roles over real HTTPS: who may do one thing can do that and nothing else."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from cluster.embedded.apiserver.authorization.attributes import Attributes
from tests.cluster.authorization import strategies
from tests.cluster.authorization.conftest import CORE, NAMESPACE, RBAC, Caller, Cluster, account, role_binding, rule

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
METHODS = {
    "get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
RESOURCES = {
    ("", "pods"): ("", "log", "exec", "eviction", "binding", "status"),
    ("", "secrets"): ("",),
    ("", "serviceaccounts"): ("", "token"),
    ("apps", "deployments"): ("", "scale", "status"),
}


def perform(caller: Caller, asked: Attributes) -> int:
    """Do what is asked, as far as it is possible; the HTTP status."""
    if asked.path:
        return caller(METHODS[asked.verb], asked.path).status_code
    root = f"/apis/{asked.group}/v1" if asked.group else "/api/v1"
    scope = f"/namespaces/{asked.namespace}" if asked.namespace else ""
    parts = [part for part in (asked.resource, asked.name, asked.subresource) if part]
    query = "?watch=1&timeoutSeconds=1" if asked.verb == "watch" else ""
    url, sent = f"{root}{scope}/{'/'.join(parts)}{query}", {"Authorization": f"Bearer {caller.token}"}
    body = {} if METHODS[asked.verb] in ("POST", "PUT", "PATCH") else None
    if asked.verb == "patch":
        sent["Content-Type"] = "application/merge-patch+json"
    with caller.session.request(
        METHODS[asked.verb], caller.url + url, json=body, headers=sent, stream=True, timeout=10
    ) as response:
        return response.status_code


def actions(namespace: str) -> list[Attributes]:
    """Every verb on every resource and subresource."""
    found = []
    for ((group, resource), subresources), verb in itertools.product(RESOURCES.items(), METHODS):
        for sub in subresources:
            on_collection = verb in ("list", "watch", "deletecollection") or (verb == "create" and not sub)
            if not (sub and on_collection):
                found.append(Attributes(verb, group, resource, sub, "" if on_collection else "p", namespace))
    return found


ALLOWED = [
    *(Attributes(verb, resource="pods", name="" if verb == "list" else "p", namespace=NAMESPACE)
      for verb in ("get", "list")),
    Attributes("create", "", "pods", "eviction", "p", NAMESPACE),
    Attributes("patch", "apps", "deployments", "scale", "p", NAMESPACE),
]  # fmt: skip


def test_a_role_allows_each_of_its_verbs_and_nothing_else(cluster: Cluster) -> None:
    operator = cluster.bound(
        "operator",
        rule("get list", "pods"), rule("create", "pods/eviction"), rule("patch", "deployments/scale", "apps", "p"),
    )  # fmt: skip
    for namespace in (NAMESPACE, "other"):
        for asked in actions(namespace):
            assert (perform(operator, asked) != 403) == (asked in ALLOWED), asked
    assert perform(operator, Attributes("patch", "apps", "deployments", "scale", "q", NAMESPACE)) == 403
    assert perform(operator, Attributes("list", resource="pods")) == 403
    assert perform(operator, Attributes("get", path="/api/v1")) == 200
    assert perform(operator, Attributes("get", path="/metrics")) == 403


def test_the_python_client_of_a_reader_reads_pods_and_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    reader = cluster.bound("reader", rule("get list", "pods"))
    cluster.admin.create(f"{CORE}/pods", POD)
    configuration = client.Configuration()
    config.load_kube_config(str(reader.kubeconfig(tmp_path)), client_configuration=configuration)
    with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        assert [pod.metadata.name for pod in core.list_namespaced_pod(NAMESPACE).items] == ["p"]
        assert core.read_namespaced_pod("p", NAMESPACE).metadata.name == "p"
        for call in (
            lambda: core.delete_namespaced_pod("p", NAMESPACE),
            lambda: core.read_namespaced_pod_log("p", NAMESPACE),
            lambda: core.list_namespaced_secret(NAMESPACE),
            lambda: core.list_pod_for_all_namespaces(),
            lambda: core.list_node(),
            lambda: client.AppsV1Api(api).list_namespaced_deployment(NAMESPACE),
        ):
            with pytest.raises(ApiException) as refused:
                call()
            assert (refused.value.status, json.loads(refused.value.body)["reason"]) == (403, "Forbidden")
        review = client.AuthorizationV1Api(api).create_self_subject_access_review(
            {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NAMESPACE}}}
        )
        assert review.status.allowed
        assert review.status.reason == (
            'RBAC: allowed by RoleBinding "reader/system" of Role "reader" to ServiceAccount "reader/system"'
        )


def test_a_role_counts_from_the_request_after_it_is_changed(cluster: Cluster) -> None:
    reader = cluster.bound("reader", rule("get", "pods"))
    listing = Attributes("list", resource="pods", namespace=NAMESPACE)
    role = f"{RBAC}/namespaces/{NAMESPACE}/roles/reader"
    for _ in range(20):
        assert perform(reader, listing) == 403
        assert cluster.admin("PUT", role, {"metadata": {"name": "reader"}, "rules": [rule("list", "pods")]}).ok
        assert perform(reader, listing) == 200
        assert cluster.admin("PUT", role, {"metadata": {"name": "reader"}, "rules": [rule("get", "pods")]}).ok
    binding = f"{RBAC}/namespaces/{NAMESPACE}/rolebindings/reader"
    assert perform(reader, Attributes("get", "", "pods", "", "p", NAMESPACE)) == 404
    assert cluster.admin("DELETE", binding).ok
    assert perform(reader, Attributes("get", "", "pods", "", "p", NAMESPACE)) == 403


def test_names_in_a_rule_allow_lists_and_watches_of_that_name(cluster: Cluster) -> None:
    for name in ("mine", "yours"):
        cluster.admin.create(f"{CORE}/secrets", {"metadata": {"name": name}})
    caller = cluster.bound("one", rule("get list", "secrets", names="mine"))
    mine = caller("GET", f"{CORE}/secrets?fieldSelector=metadata.name%3Dmine")
    assert [item["metadata"]["name"] for item in mine.json()["items"]] == ["mine"]
    for query in ("", "?fieldSelector=metadata.name%3Dyours", "?fieldSelector=metadata.name%21%3Dmine"):
        assert caller("GET", f"{CORE}/secrets{query}").status_code == 403
    assert caller("GET", f"{CORE}/secrets/mine").status_code == 200
    assert caller("GET", f"{CORE}/secrets/yours").status_code == 403


def test_a_watch_permission_does_not_delete_through_the_old_watch_path(cluster: Cluster) -> None:
    watcher = cluster.bound("watcher", rule("watch", "pods"))
    cluster.admin.create(f"{CORE}/pods", POD)
    for method in ("DELETE", "POST", "PUT", "PATCH"):
        assert watcher(method, f"/api/v1/watch/namespaces/{NAMESPACE}/pods", {}).status_code == 403
    assert cluster.admin("GET", f"{CORE}/pods/p").status_code == 200


def test_running_something_in_a_pod_needs_create_even_with_a_get(cluster: Cluster) -> None:
    cluster.admin.create(f"{CORE}/pods", POD)
    url = f"{CORE}/pods/p/exec?command=ls&stdout=1"
    only_get = cluster.bound("only-get", rule("get", "pods/exec"))("GET", url)
    assert only_get.status_code == 403
    assert 'cannot create resource "pods/exec"' in only_get.json()["message"]
    assert cluster.bound("both", rule("get create", "pods/exec"))("GET", url).status_code != 403


def test_an_apply_or_a_put_that_creates_needs_create(cluster: Cluster) -> None:
    url = f"{CORE}/configmaps/new?fieldManager=me"
    sent = {"Content_Type": "application/apply-patch+yaml"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    patcher = cluster.bound("patcher", rule("patch", "configmaps"), rule("update", "leases", "coordination.k8s.io"))
    refused = patcher("PATCH", url, body, **sent)
    assert (refused.status_code, 'cannot create resource "configmaps"' in refused.text.replace("\\", "")) == (403, True)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/new"
    assert patcher("PUT", lease, {"metadata": {"name": "new"}}).status_code == 403
    assert cluster.admin("PATCH", url, body, **sent).status_code == 201
    assert patcher("PATCH", url, {**body, "data": {"k": "v"}}, **sent).status_code == 200


def test_default_roles(cluster: Cluster) -> None:
    for name in ("view", "edit", "admin"):
        caller = cluster.account(name)
        scope = f"{RBAC}/namespaces/{NAMESPACE}/rolebindings"
        cluster.admin.create(scope, role_binding(name, "ClusterRole", name, account(name)))
        for verb, resource, who in (
            ("list", "pods", "view edit admin"), ("list", "configmaps", "view edit admin"),
            ("list", "secrets", "edit admin"), ("create", "configmaps", "edit admin"),
            ("deletecollection", "pods", "edit admin"), ("create", "nodes", ""),
        ):  # fmt: skip
            reached = perform(caller, Attributes(verb, resource=resource, namespace=NAMESPACE)) != 403
            assert reached == (name in who.split()), (name, verb, resource)
        assert (caller("GET", scope).status_code == 200) == (name == "admin")
    everything = cluster.account("root")
    cluster.admin.create(
        f"{RBAC}/clusterrolebindings", role_binding("root", "ClusterRole", "cluster-admin", account("root"))
    )
    assert all(perform(everything, asked) != 403 for asked in actions("other"))
    assert perform(everything, Attributes("get", path="/metrics")) == 404


def test_an_aggregated_role_gains_and_loses_what_it_selects(cluster: Cluster) -> None:
    viewer = cluster.account("viewer")
    cluster.admin.create(
        f"{RBAC}/clusterrolebindings", role_binding("viewer", "ClusterRole", "view", account("viewer"))
    )
    assert viewer("GET", "/api/v1/nodes").status_code == 403
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    role = {"metadata": {"name": "view-nodes", "labels": labels}, "rules": [rule("list", "nodes")]}
    cluster.admin.create(f"{RBAC}/clusterroles", role)
    assert _soon(viewer, "/api/v1/nodes", 200)
    assert rule("list", "nodes") in cluster.admin("GET", f"{RBAC}/clusterroles/admin").json()["rules"]
    assert cluster.admin("DELETE", f"{RBAC}/clusterroles/view-nodes").ok
    assert _soon(viewer, "/api/v1/nodes", 403)


def _soon(caller: Caller, path: str, code: int) -> bool:
    """A controller answers within a few requests."""
    return any(caller("GET", path).status_code == code for _ in range(200))


def test_anonymous_requests_see_health_and_version_only(cluster: Cluster) -> None:
    nobody = cluster.caller("")
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert nobody("GET", path).status_code == 200
    recorded = {
        "apiVersion": "v1", "code": 403, "details": {"kind": "namespaces"}, "kind": "Status", "metadata": {},
        "message": 'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group '
        '"" at the cluster scope', "reason": "Forbidden", "status": "Failure",
    }  # fmt: skip
    assert nobody("GET", "/api/v1/namespaces").json() == recorded
    for path in ("/", "/api", "/apis", "/openapi/v3", "/readyz/ping", "/nosuch", "/apis/nosuch.io/v1/things"):
        assert nobody("GET", path).status_code == 403, path
    assert cluster.caller("wrong")("GET", "/healthz").status_code == 401
    assert cluster.account("default")("GET", "/openapi/v3").status_code == 200


@given(st.lists(strategies.rules, max_size=3), st.lists(strategies.actions, min_size=4, max_size=8))
@settings(max_examples=40, deadline=None)
def test_a_review_says_what_then_happens(running: Cluster, rules: list[Any], asked: list[Attributes]) -> None:
    caller = running.account("subject")
    role = {"metadata": {"name": "subject"}, "rules": rules}
    binding = role_binding("subject", "ClusterRole", "subject", account("subject"))
    if not running.admin("PUT", f"{RBAC}/clusterroles/subject", role).ok:
        running.admin.create(f"{RBAC}/clusterroles", role)
        running.admin.create(f"{RBAC}/clusterrolebindings", binding)
    for action in asked:
        if (real := _possible(action)) is None:
            continue
        allowed = caller.create(REVIEW, {"spec": _spec(real)})["status"]["allowed"]
        assert (perform(caller, real) != 403) == allowed, real


def _possible(action: Attributes) -> Attributes | None:
    """The action as a request can ask for it."""
    if action.verb not in METHODS or (action.path and action.verb != "get"):
        return None
    if action.path:
        return action if action.path != "/healthz" else None  # open to all, whatever the roles say
    namespace = action.namespace or ("" if action.verb in ("list", "watch", "deletecollection") else "one")
    sub = action.subresource
    if action.verb in ("list", "watch", "deletecollection") or (action.verb == "create" and not sub):
        return Attributes(action.verb, action.group, action.resource, "", "", namespace)
    if sub == "exec" and action.verb == "get":
        return None  # needs create as well
    return Attributes(action.verb, action.group, action.resource, sub, action.name or "a", namespace)


def _spec(asked: Attributes) -> dict[str, Any]:
    if asked.path:
        return {"nonResourceAttributes": {"verb": asked.verb, "path": asked.path}}
    keys = ("verb", "group", "resource", "subresource", "name", "namespace")
    return {"resourceAttributes": {key: getattr(asked, key) for key in keys}}
