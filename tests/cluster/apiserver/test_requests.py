"""What a plain HTTP client sees: refusals, discovery, selection, paging, deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.embedded.apiserver.routes import Route, parse
from cluster.embedded.client import ApiError
from cluster.embedded.resources import DEPLOYMENTS, NAMESPACES, PODS
from tests.cluster.apiserver.conftest import Cluster, Http

CONFIG_MAPS = "/api/v1/namespaces/system/configmaps"
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"


def create(http: Http, *names: str, **labels: str) -> None:
    for name in names:
        body = {"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}}
        assert http("POST", CONFIG_MAPS, body).status_code == 201


def names(response: Any) -> list[str]:
    return [item["metadata"]["name"] for item in response.json()["items"]]


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
def test_health_and_version_need_no_token(http: Http, path: str) -> None:
    assert http("GET", path, Authorization="").status_code == 200


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1/namespaces", "/openapi/v3", "/", "/nosuch", "/versions"])
def test_everything_else_needs_the_token(http: Http, path: str) -> None:
    for header, code, reason in (
        ("", 403, "Forbidden"), ("Bearer wrong", 401, "Unauthorized"), ("Basic YTpi", 403, "Forbidden")
    ):  # fmt: skip
        response = http("GET", path, Authorization=header)
        assert (response.status_code, response.json()["reason"]) == (code, reason)


@pytest.mark.parametrize("path", ["/apis/nosuch.io", "/apis/metrics.k8s.io/v1beta1/nodes", "/nosuch"])
def test_an_unknown_group_is_plain_text_404(http: Http, path: str) -> None:
    response = http("GET", path)
    assert (response.status_code, response.text) == (404, "404 page not found\n")
    assert response.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/api/v2", "/apis/apps/v1beta1", f"{CONFIG_MAPS[:-10]}nosuchs", "/api/v1/pods/x"])
def test_an_unknown_version_or_resource_is_a_status_404(http: Http, path: str) -> None:
    response = http("GET", path)
    assert (response.status_code, response.json()["details"]) == (404, {})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{CONFIG_MAPS}/x"), ("PUT", CONFIG_MAPS), ("PATCH", CONFIG_MAPS), ("OPTIONS", CONFIG_MAPS),
        ("HEAD", f"{CONFIG_MAPS}/x"), ("GET", "/api/v1/namespaces/system/pods/x/eviction"),
        ("GET", "/api/v1/namespaces/system/finalize"), ("DELETE", "/api/v1/namespaces"),
        ("POST", "/api/v1/pods"), ("POST", "/version"),
    ],
)  # fmt: skip
def test_a_method_that_does_not_fit_is_405(http: Http, method: str, path: str) -> None:
    assert http(method, path, {}).status_code == 405


@pytest.mark.parametrize(
    ("body", "content_type", "code", "text"),
    [
        ('{"apiVersion":', "application/json", 400, 'unexpected end of JSON input ({"apiVersion":)'),
        ("", "application/json", 400, "unexpected end of JSON input (<empty>)"),
        ("[]", "application/json", 400, "cannot unmarshal array"),
        ('{"metadata":"x"}', "application/json", 400, "cannot unmarshal metadata"),
        ("{}", "text/plain", 415, "accepted media types include: application/json, application/yaml"),
        ('{"kind":"Service","apiVersion":"v1"}', "application/json", 400, "cannot be handled as a ConfigMap"),
        ("k8s", "application/vnd.kubernetes.protobuf", 400, "expected prefix"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(http: Http, body: str, content_type: str, code: int, text: str) -> None:
    response = http("POST", CONFIG_MAPS, body, content_type=content_type)
    assert response.status_code == code
    assert text in response.json()["message"]


@pytest.mark.parametrize(
    ("content_type", "query", "body", "code"),
    [
        ("application/json", "", "{}", 415),
        ("application/json-patch+json", "", "{}", 400),
        ("application/merge-patch+json", "", "[]", 400),
        ("application/apply-patch+yaml", "", "{}", 422),
        ("application/apply-patch+yaml", "?fieldManager=me", "metadata: {name: other}", 400),
    ],
)
def test_a_patch_that_cannot_be_read_is_refused(
    http: Http, content_type: str, query: str, body: str, code: int
) -> None:
    create(http, "x")
    assert http("PATCH", f"{CONFIG_MAPS}/x{query}", body, content_type=content_type).status_code == code


def test_an_apply_of_yaml_creates_and_then_changes(http: Http) -> None:
    url, media = f"{CONFIG_MAPS}/x?fieldManager=me", "application/apply-patch+yaml"
    text = "apiVersion: v1\nkind: ConfigMap\ndata: {since: 2026-01-01}\n"
    assert http("PATCH", url, text, content_type=media).status_code == 201
    again = http("PATCH", url, text, content_type=media)
    assert (again.status_code, again.json()["data"]) == (200, {"since": "2026-01-01"})


def test_nothing_is_created_in_a_missing_namespace(http: Http) -> None:
    response = http("POST", "/api/v1/namespaces/nosuch/configmaps", {"metadata": {"name": "x"}})
    assert (response.status_code, response.json()["message"]) == (404, 'namespaces "nosuch" not found')


def test_the_names_in_url_and_object_must_agree(http: Http) -> None:
    create(http, "x")
    other_name = http("PUT", f"{CONFIG_MAPS}/x", {"metadata": {"name": "y"}})
    assert other_name.json()["message"] == "the name of the object (y) does not match the name on the URL (x)"
    other_namespace = http("POST", CONFIG_MAPS, {"metadata": {"name": "x", "namespace": "default"}})
    assert other_namespace.status_code == 400


def test_a_body_may_be_as_large_as_on_a_real_server(http: Http) -> None:
    large = {"metadata": {"name": "large"}, "data": {"k": "v" * 1_000_000}}
    assert http("POST", CONFIG_MAPS, large).status_code == 201
    too_large = http("POST", CONFIG_MAPS, {"data": {"k": "v" * 4_000_000}})
    assert (too_large.status_code, too_large.json()["reason"]) == (413, "RequestEntityTooLarge")


def test_a_dry_run_stores_nothing(http: Http) -> None:
    assert http("POST", f"{CONFIG_MAPS}?dryRun=All", {"metadata": {"name": "x"}}).status_code == 201
    assert http("GET", f"{CONFIG_MAPS}/x").status_code == 404
    assert http("POST", f"{CONFIG_MAPS}?dryRun=Some", {"metadata": {"name": "x"}}).status_code == 422
    create(http, "x")
    assert http("DELETE", f"{CONFIG_MAPS}/x?dryRun=All").json()["status"] == "Success"
    assert http("GET", f"{CONFIG_MAPS}/x").status_code == 200


def test_a_lease_can_be_created_by_put(http: Http) -> None:
    url = "/apis/coordination.k8s.io/v1/namespaces/system/leases/node"
    assert http("PUT", url, {"metadata": {"name": "node"}}).status_code == 201
    assert http("PUT", f"{CONFIG_MAPS}/x", {"metadata": {"name": "x"}}).status_code == 404


def test_a_list_comes_in_pages_of_one_version(http: Http) -> None:
    create(http, *(f"c{i}" for i in range(5)))
    first = http("GET", f"{CONFIG_MAPS}?limit=2").json()
    assert first["metadata"]["remainingItemCount"] == 3
    create(http, "c9")
    seen, page = [item["metadata"]["name"] for item in first["items"]], first
    while token := page["metadata"].get("continue"):
        page = http("GET", f"{CONFIG_MAPS}?limit=2&continue={token}").json()
        seen += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert seen[:5] == ["c0", "c1", "c2", "c3", "c4"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=x", 400), ("timeoutSeconds=x", 400), ("continue=garbage", 400), ("resourceVersion=abc", 400),
        ("resourceVersion=999999", 504), ("resourceVersionMatch=Exact", 422),
        ("continue=e30&resourceVersion=1", 400), ("continue=e30", 400), ("continue=gA", 400),
    ],
)  # fmt: skip
def test_list_options_that_cannot_be_honoured_are_refused(http: Http, query: str, code: int) -> None:
    response = http("GET", f"{CONFIG_MAPS}?{query}")
    assert response.status_code == code
    assert response.headers.get("Retry-After") == ("1" if code == 504 else None)


def test_an_old_revision_is_listed_as_it_was_until_it_is_compacted(http: Http, cluster: Cluster) -> None:
    create(http, "a", "b")
    then = http("GET", CONFIG_MAPS).json()["metadata"]["resourceVersion"]
    create(http, "c")
    http("DELETE", f"{CONFIG_MAPS}/a")
    exact = f"{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact"
    assert names(http("GET", exact)) == ["a", "b"]
    assert http("GET", exact).json()["metadata"]["resourceVersion"] == then
    page = http("GET", f"{CONFIG_MAPS}?limit=1").json()
    create(http, "bb")
    following = http("GET", f"{CONFIG_MAPS}?limit=1&continue={page['metadata']['continue']}")
    assert names(following) == ["c"]  # not bb, which came after the first page
    cluster.call(cluster.registry.store.compact, cluster.registry.store.version)
    assert http("GET", exact).status_code == 410
    gone = http("GET", f"{CONFIG_MAPS}?limit=1&continue={page['metadata']['continue']}")
    assert gone.status_code == 410
    inconsistent = gone.json()["metadata"]["continue"]
    assert names(http("GET", f"{CONFIG_MAPS}?limit=1&continue={inconsistent}")) == ["bb"]


def test_a_key_that_is_there_twice_is_refused_or_warned_of(http: Http) -> None:
    body = '{"metadata": {"name": "twice"}, "data": {"a": "1", "a": "2"}}'
    strict = http("POST", f"{CONFIG_MAPS}?fieldValidation=Strict", body)
    assert (strict.status_code, 'duplicate field "data.a"' in strict.json()["message"]) == (400, True)
    yaml = http("POST", f"{CONFIG_MAPS}?fieldValidation=Strict", body, content_type="application/yaml")
    assert 'line 1: key "a" already set in map' in yaml.json()["message"]
    warned = http("POST", CONFIG_MAPS, body)
    assert (warned.status_code, warned.headers["Warning"]) == (201, '299 - "duplicate field \\"data.a\\""')
    quiet = http("POST", f"{CONFIG_MAPS}?fieldValidation=Ignore&dryRun=All", body.replace("twice", "other"))
    assert (quiet.status_code, "Warning" in quiet.headers) == (201, False)


def test_a_job_is_deleted_without_its_pods_and_with_a_warning_unless_it_says_otherwise(http: Http) -> None:
    jobs = "/apis/batch/v1/namespaces/system/jobs"
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    for name in ("kept", "swept"):
        http("POST", jobs, {"metadata": {"name": name}, "spec": spec})
    kept = http("DELETE", f"{jobs}/kept")
    assert kept.json()["metadata"]["finalizers"] == ["orphan"]
    assert "child pods are preserved by default" in kept.headers["Warning"]
    swept = http("DELETE", f"{jobs}/swept?propagationPolicy=Background")
    assert (swept.json()["kind"], "Warning" in swept.headers) == ("Status", False)


def test_a_refusal_carries_warnings_too(http: Http) -> None:
    refused = http("POST", CONFIG_MAPS, {"metadata": {"name": "Bad_Name"}, "nosuch": 1})
    assert (refused.status_code, refused.headers["Warning"]) == (422, '299 - "unknown field \\"nosuch\\""')


def test_a_collection_is_deleted_by_label(http: Http) -> None:
    create(http, "a", "b", team="red")
    create(http, "c", team="blue")
    assert names(http("DELETE", f"{CONFIG_MAPS}?labelSelector=team%3Dred")) == ["a", "b"]
    assert names(http("GET", CONFIG_MAPS)) == ["c"]


def test_preconditions_of_a_deletion_are_checked(http: Http) -> None:
    create(http, "x")
    for preconditions in ({"uid": "other"}, {"resourceVersion": "1"}):
        assert http("DELETE", f"{CONFIG_MAPS}/x", {"preconditions": preconditions}).status_code == 409
    uid = http("GET", f"{CONFIG_MAPS}/x").json()["metadata"]["uid"]
    deleted = http("DELETE", f"{CONFIG_MAPS}/x", {"preconditions": {"uid": uid}})
    assert deleted.json()["details"] == {"name": "x", "kind": "configmaps", "uid": uid}


@pytest.mark.parametrize(
    "options", [{"propagationPolicy": "Bogus"}, {"propagationPolicy": "Orphan", "orphanDependents": True}]
)
def test_bad_delete_options_are_invalid(http: Http, options: dict[str, Any]) -> None:
    create(http, "x")
    assert http("DELETE", f"{CONFIG_MAPS}/x", options).json()["reason"] == "Invalid"


def test_delete_options_of_the_wrong_type_are_a_bad_request(http: Http) -> None:
    create(http, "x")
    for options in ({"gracePeriodSeconds": "soon"}, {"preconditions": ["uid"]}):
        assert http("DELETE", f"{CONFIG_MAPS}/x", options).status_code == 400


def test_metadata_alone_can_be_asked_for(http: Http) -> None:
    create(http, "x")
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    shown = http("GET", f"{CONFIG_MAPS}/x", Accept=accept).json()
    assert (shown["kind"], "data" in shown) == ("PartialObjectMetadata", False)
    assert http("GET", f"{CONFIG_MAPS}/x", Accept="application/vnd.kubernetes.protobuf").status_code == 406
    both = http("GET", f"{CONFIG_MAPS}/x", Accept="application/vnd.kubernetes.protobuf,application/json")
    assert both.json()["data"] == {"k": "v"}


def test_aggregated_discovery_is_cached_by_etag(http: Http) -> None:
    first = http("GET", "/apis", Accept=f"{V2},{V2BETA1},application/json")
    assert first.headers["Content-Type"] == V2
    apps = next(item for item in first.json()["items"] if item["metadata"]["name"] == "apps")
    deployments = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
    assert [s["subresource"] for s in deployments["subresources"]] == ["scale", "status"]
    assert http("GET", "/apis", Accept=V2, If_None_Match=first.headers["ETag"]).status_code == 304
    assert http("GET", "/apis", Accept="application/json").json()["kind"] == "APIGroupList"
    assert http("GET", "/apis", Accept=V2BETA1).status_code == 406


def test_legacy_discovery_lists_only_what_is_served(http: Http) -> None:
    resources = {r["name"] for r in http("GET", "/api/v1").json()["resources"]}
    assert {"pods", "pods/log", "pods/exec", "pods/eviction", "namespaces/finalize"} <= resources
    assert "pods/proxy" not in resources
    assert http("GET", "/apis/apps").json()["preferredVersion"]["groupVersion"] == "apps/v1"


def test_openapi_says_that_patches_take_field_validation(http: Http) -> None:
    index = http("GET", "/openapi/v3")
    url = index.json()["paths"]["apis/apps/v1"]["serverRelativeURL"]
    document = http("GET", url)
    assert document.headers["Cache-Control"] == "public, immutable"
    patch = document.json()["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert http("GET", "/openapi/v3", If_None_Match=index.headers["ETag"]).status_code == 304


def test_a_pod_is_bound_once(http: Http) -> None:
    pods = "/api/v1/namespaces/system/pods"
    http("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node-1"}}
    assert http("POST", f"{pods}/p/binding", binding).json() == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    }  # fmt: skip
    assert http("GET", f"{pods}/p").json()["spec"]["nodeName"] == "node-1"
    assert http("POST", f"{pods}/p/binding", binding).status_code == 409


def test_an_eviction_honours_the_disruption_budget(http: Http) -> None:
    pods, budgets = "/api/v1/namespaces/system/pods", "/apis/policy/v1/namespaces/system/poddisruptionbudgets"
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    for name in ("a", "b"):
        http("POST", pods, {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": spec})
        ready = [{"type": "Ready", "status": "True"}]
        body = json.dumps({"status": {"phase": "Running", "conditions": ready}})
        http("PATCH", f"{pods}/{name}/status", body, content_type="application/merge-patch+json")
    http("POST", budgets, {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}})
    status = {
        "observedGeneration": 1,
        "expectedPods": 2,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
    }
    patch = json.dumps({"status": status})
    http("PATCH", f"{budgets}/web/status", patch, content_type="application/merge-patch+json")
    assert http("POST", f"{pods}/a/eviction", {"metadata": {"name": "a"}}).status_code == 201
    assert "deletionTimestamp" in http("GET", f"{pods}/a").json()["metadata"]
    refused = http("POST", f"{pods}/b/eviction", {"metadata": {"name": "b"}})
    assert (refused.status_code, refused.json()["details"]["causes"][0]["reason"]) == (429, "DisruptionBudget")
    assert http("POST", f"{pods}/b/eviction", {"metadata": {"name": "c"}}).status_code == 400


def test_paths_name_collections_objects_and_subresources() -> None:
    assert parse("/api/v1/namespaces/system/pods/") == Route(PODS, "system")
    assert parse("/api/v1/watch/pods") == Route(PODS, watch=True)
    assert parse("/apis/apps/v1/namespaces/s/deployments/web/scale") == Route(DEPLOYMENTS, "s", "web", "scale")
    assert parse("/api/v1/namespaces/system/status") == Route(NAMESPACES, None, "system", "status")
    for path in ("/api/v1/namespaces/s/nodes", "/api/v1/namespaces/s/pods/p/nosub", "/api/v1"):
        with pytest.raises(ApiError):
            parse(path)


@pytest.mark.parametrize(
    "group", ["metrics.k8s.io/v1beta1/nodes", "custom.metrics.k8s.io/v1beta2", "example.com/v1/things"]
)
def test_a_group_that_is_not_installed_is_told_in_plain_text(http: Http, group: str) -> None:
    response = http("GET", f"/apis/{group}")
    assert (response.status_code, response.text) == (404, "404 page not found\n")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert "metrics" not in http("GET", "/apis").text
