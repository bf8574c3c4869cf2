"""Reviews: their shapes, their errors, and how discovery lists them."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded.apiserver import protobuf
from tests.cluster.authorization.conftest import NAMESPACE, Cluster, rule

GROUP = "/apis/authorization.k8s.io/v1"
SELF, SUBJECT, RULES = (f"{GROUP}/{name}" for name in (
    "selfsubjectaccessreviews", "subjectaccessreviews", "selfsubjectrulesreviews"
))  # fmt: skip
LOCAL = f"{GROUP}/namespaces/{NAMESPACE}/localsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
GET_PODS = {"verb": "get", "resource": "pods", "namespace": NAMESPACE}
READER = f"system:serviceaccount:{NAMESPACE}:reader"


def test_the_recorded_answers(cluster: Cluster) -> None:
    spec = {"resourceAttributes": {"namespace": "system", "resource": "pods", "verb": "delete"}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    response = cluster.admin("POST", SELF, body, User_Agent="golden-script")
    answered = response.json()
    [managed] = answered["metadata"].pop("managedFields")
    assert response.status_code == 201
    assert answered == {**body, "metadata": {}, "status": {"allowed": True}}
    assert {key: managed[key] for key in ("apiVersion", "manager", "operation")} == {
        "apiVersion": "authorization.k8s.io/v1", "manager": "golden-script", "operation": "Update",
    }  # fmt: skip
    who = cluster.admin.create(WHO, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    assert set(who) == {"apiVersion", "kind", "metadata", "status"}
    assert list(who["metadata"]) == ["creationTimestamp"]
    assert who["status"]["userInfo"] == {
        "groups": ["system:masters", "system:authenticated"], "uid": "admin", "username": "admin"
    }  # fmt: skip


def test_the_recorded_discovery(cluster: Cluster) -> None:
    listed = cluster.admin("GET", GROUP).json()["resources"]
    assert [(r["name"], r["kind"], r["namespaced"], r["singularName"], r["verbs"]) for r in listed] == [
        ("localsubjectaccessreviews", "LocalSubjectAccessReview", True, "localsubjectaccessreview", ["create"]),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", False, "selfsubjectaccessreview", ["create"]),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", False, "selfsubjectrulesreview", ["create"]),
        ("subjectaccessreviews", "SubjectAccessReview", False, "subjectaccessreview", ["create"]),
    ]
    groups = {group["name"] for group in cluster.admin("GET", "/apis").json()["groups"]}
    assert {"authorization.k8s.io", "authentication.k8s.io"} <= groups
    core = {r["name"]: r for r in cluster.admin("GET", "/api/v1").json()["resources"]}
    assert core["serviceaccounts/token"] == {
        "name": "serviceaccounts/token", "singularName": "", "namespaced": True, "kind": "TokenRequest",
        "group": "authentication.k8s.io", "version": "v1", "verbs": ["create"],
    }  # fmt: skip


@pytest.mark.parametrize("path", [SELF, SUBJECT, RULES, LOCAL, WHO, "/apis/authentication.k8s.io/v1/tokenreviews"])
def test_reviews_can_only_be_created(cluster: Cluster, path: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert cluster.admin(method, path, {}).status_code == 405
    assert cluster.admin("GET", f"{path}/x").status_code == 405


def test_reviews_of_others_agree(cluster: Cluster) -> None:
    reader = cluster.bound("reader", rule("get", "pods"))
    for attributes, allowed in ((GET_PODS, True), ({**GET_PODS, "verb": "list"}, False)):
        answers = [
            reader.create(SELF, {"spec": {"resourceAttributes": attributes}}),
            cluster.admin.create(SUBJECT, {"spec": {"resourceAttributes": attributes, "user": READER}}),
            cluster.admin.create(LOCAL, {"spec": {"resourceAttributes": attributes, "user": READER}}),
        ]
        assert [answer["status"]["allowed"] for answer in answers] == [allowed] * 3
    discovery = {"nonResourceAttributes": {"verb": "get", "path": "/api/v1"}}
    for groups, allowed in ((["system:authenticated"], True), (["team"], False)):
        asked = {"spec": {**discovery, "user": "x", "groups": groups}}
        assert cluster.admin.create(SUBJECT, asked)["status"]["allowed"] == allowed
    assert reader("POST", SUBJECT, {"spec": {"resourceAttributes": GET_PODS, "user": "x"}}).status_code == 403


@pytest.mark.parametrize(
    ("path", "spec", "code", "message"),
    [
        (SELF, {}, 422, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (SELF, {"resourceAttributes": GET_PODS, "nonResourceAttributes": {"path": "/"}}, 422, "in combination"),
        (SUBJECT, {"resourceAttributes": GET_PODS}, 422, "at least one of user or group must be specified"),
        (LOCAL, {"resourceAttributes": {**GET_PODS, "namespace": "other"}, "user": "x"}, 422, "must match"),
        (LOCAL, {"nonResourceAttributes": {"path": "/"}, "user": "x"}, 422, "disallowed on this kind of request"),
        (SELF, {"resourceAttributes": {"verb": 7}}, 400, "strings"),
        (SELF, {"resourceAttributes": "x"}, 400, "strings"),
        (SELF, [], 422, "exactly one"),
        (SELF, "x", 400, "object"),
        (SUBJECT, {"resourceAttributes": GET_PODS, "user": "x", "groups": "y"}, 400, "list of strings"),
        (RULES, {}, 400, "no namespace on request"),
        ("/apis/authentication.k8s.io/v1/tokenreviews", {}, 400, "token is required"),
    ],
)
def test_questions_that_make_no_sense(cluster: Cluster, path: str, spec: Any, code: int, message: str) -> None:
    answered = cluster.admin("POST", path, {"spec": spec})
    assert (answered.status_code, message in answered.json()["message"]) == (code, True), answered.text


def test_the_rules_of_oneself(cluster: Cluster) -> None:
    reader = cluster.bound("reader", rule("get list", "pods", names="p"))
    status = reader.create(RULES, {"spec": {"namespace": NAMESPACE}})["status"]
    assert rule("get list", "pods", names="p") in status["resourceRules"]
    assert any("/api/*" in r["nonResourceURLs"] for r in status["nonResourceRules"])
    assert status["incomplete"] is False
    elsewhere = reader.create(RULES, {"spec": {"namespace": "other"}})["status"]
    assert not any("pods" in r["resources"] for r in elsewhere["resourceRules"])


def test_kubectl_s_protobuf_questions_are_understood() -> None:
    classes = protobuf._classes()
    review = classes["AccessReview"]()
    review.spec.resourceAttributes.verb, review.spec.resourceAttributes.resource = "delete", "pods"
    envelope = classes["Unknown"](raw=review.SerializeToString())
    envelope.typeMeta.apiVersion, envelope.typeMeta.kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
    decoded = protobuf.decode(protobuf.MAGIC + envelope.SerializeToString())
    assert decoded["spec"]["resourceAttributes"] == {"verb": "delete", "resource": "pods"}
