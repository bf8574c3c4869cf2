"""Tokens of ServiceAccounts: who they are, how long, for whom, and bound to what."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cluster.embedded.apiserver.authentication.jwt import InvalidToken, Signer
from cluster.embedded.apiserver.authentication.service_accounts import ISSUER, ServiceAccountTokens, split_name
from cluster.embedded.apiserver.status import not_found
from cluster.embedded.client import ApiError
from cluster.embedded.resources import PODS, SERVICE_ACCOUNTS, Object, Resource
from tests.cluster.authorization.conftest import CORE, RBAC, Cluster, account, role_binding, rule

ACCOUNT: Object = {"metadata": {"name": "robot", "namespace": "system", "uid": "u1"}}
POD: Object = {"metadata": {"name": "p", "namespace": "system", "uid": "u2"}, "spec": {"serviceAccountName": "robot"}}
TOKEN = f"{CORE}/serviceaccounts/robot/token"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class Moment:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Objects(dict[tuple[str, str], Object]):
    """The API, read by (plural, name)."""

    def get_one(self, resource: Resource, namespace: str, name: str) -> Object:
        if (resource.plural, name) not in self:
            raise not_found(resource, name)
        return self[resource.plural, name]


@pytest.fixture
def clock() -> Moment:
    return Moment()


@pytest.fixture
def objects() -> Objects:
    return Objects({("serviceaccounts", "robot"): ACCOUNT, ("pods", "p"): POD})


@pytest.fixture
def tokens(clock: Moment, objects: Objects) -> ServiceAccountTokens:
    return ServiceAccountTokens(objects.get_one, clock=clock)


def issue(tokens: ServiceAccountTokens, **spec: Any) -> str:
    return str(tokens.request("system", "robot", {"spec": spec})["status"]["token"])


def test_a_token_is_its_account_until_it_expires(tokens: ServiceAccountTokens, clock: Moment) -> None:
    token = issue(tokens, expirationSeconds=600)
    user = tokens.authenticate(token)
    assert (user.name, user.uid) == ("system:serviceaccount:system:robot", "u1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:system", "system:authenticated")
    clock.now += 599
    tokens.authenticate(token)
    clock.now += 1
    with pytest.raises(InvalidToken, match="expired"):
        tokens.authenticate(token)
    clock.now -= 1000
    with pytest.raises(InvalidToken, match="not valid yet"):
        tokens.authenticate(token)


def test_a_token_is_for_its_audience(tokens: ServiceAccountTokens) -> None:
    token = issue(tokens, audiences=["vault", "other"])
    with pytest.raises(InvalidToken, match="meant for"):
        tokens.authenticate(token)
    assert tokens.authenticate(token, frozenset({"vault"})).uid == "u1"


@pytest.mark.parametrize(("kind", "key"), [("serviceaccount", "serviceaccounts"), ("pod", "pods")])
def test_a_token_ends_with_what_it_is_bound_to(
    tokens: ServiceAccountTokens, objects: Objects, clock: Moment, kind: str, key: str
) -> None:
    token = issue(tokens, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u2"})
    user = tokens.authenticate(token)
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/pod-uid"] == ("u2",)
    name = "robot" if kind == "serviceaccount" else "p"
    before = objects[key, name]
    objects[key, name] = {**before, "metadata": {**before["metadata"], "uid": "another"}}
    with pytest.raises(InvalidToken, match=f"{kind} {name} is another one"):
        tokens.authenticate(token)
    deleted = {**before["metadata"], "deletionTimestamp": "1970-01-12T13:46:40Z"}  # the clock's now
    objects[key, name] = {**before, "metadata": deleted}
    tokens.authenticate(token)
    clock.now += 61
    with pytest.raises(InvalidToken, match="has been deleted"):
        tokens.authenticate(token)
    del objects[key, name]
    with pytest.raises(InvalidToken, match=f"{kind} {name} is gone"):
        tokens.authenticate(token)


def test_a_token_cannot_be_forged(tokens: ServiceAccountTokens) -> None:
    token = issue(tokens)
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:root"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    forged = [
        f"{header}.{changed}.{signature}", f"{none}.{payload}.", f"{none}.{payload}.{signature}",
        f"{header}.{payload}.", f"{header}.{payload}.{'A' * 86}", f"{header}.{payload}", "", "..",
        token[:-4], f"{token}.x", f"{token}\n",
        Signer().sign(claims), "ä.ö.ü",
    ]  # fmt: skip
    for wrong in forged:
        with pytest.raises(InvalidToken):
            tokens.authenticate(wrong)
    tokens.authenticate(token)


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 599}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: '
         "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**32 + 1}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"expirationSeconds": "x"}, 400, "must be an integer"),
        ({"boundObjectRef": {"kind": "Lamp", "apiVersion": "v1", "name": "p"}}, 400,
         "cannot bind token to object of type /v1, Kind=Lamp"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "q"}}, 404, 'pods "q" not found'),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "x"}}, 409, "not match the UID"),
        ({"boundObjectRef": "p"}, 400, "must be an object"),
        ({"audiences": "vault"}, 400, "must be a list of strings"),
        ({"audiences": [7]}, 400, "must be a list of strings"),
    ],
)  # fmt: skip
def test_bad_requests_for_tokens(tokens: ServiceAccountTokens, spec: Any, code: int, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        issue(tokens, **spec)
    assert (refused.value.code, message in str(refused.value)) == (code, True), str(refused.value)


def test_a_pod_of_another_account_is_not_bound(tokens: ServiceAccountTokens, objects: Objects) -> None:
    objects["pods", "q"] = {**POD, "spec": {"serviceAccountName": "another"}}
    with pytest.raises(ApiError, match="different serviceaccount name"):
        issue(tokens, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "q"})


def test_names_of_accounts() -> None:
    assert split_name("system:serviceaccount:a:b") == ("a", "b")
    for wrong in ("jane", "system:serviceaccount:", "system:serviceaccount:a", "system:serviceaccount:a:b:c", "a:b"):
        assert split_name(wrong) is None


def test_the_answer_to_a_token_request_has_the_shape_of_the_recorded_one(cluster: Cluster) -> None:
    cluster.admin.create(f"{CORE}/serviceaccounts", {"metadata": {"name": "robot"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    answered = cluster.admin("POST", TOKEN, request, User_Agent="golden-script").json()
    assert set(answered) == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert set(answered["metadata"]) == {"creationTimestamp", "managedFields", "name", "namespace", "uid"}
    [managed] = answered["metadata"]["managedFields"]
    assert (managed["manager"], managed["operation"], managed["subresource"]) == ("golden-script", "Update", "token")
    assert answered["spec"] == {"audiences": [ISSUER], "boundObjectRef": None, "expirationSeconds": 600}
    assert set(answered["status"]) == {"expirationTimestamp", "token"}
    assert cluster.admin("POST", TOKEN.replace("robot", "nosuch"), request).status_code == 404
    assert cluster.admin("GET", TOKEN).status_code == 405


def test_the_token_of_a_deleted_account_or_pod_is_refused(cluster: Cluster) -> None:
    robot = cluster.account("robot")
    spec = {"containers": [{"name": "c", "image": "i"}], "serviceAccountName": "robot"}
    cluster.admin.create(f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec})
    bound = cluster.account("robot", boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})
    extra = bound.create(WHO, {})["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert cluster.admin("DELETE", f"{CORE}/pods/p?gracePeriodSeconds=0").ok
    assert bound("POST", WHO, {}).status_code == 401
    assert robot("POST", WHO, {}).status_code == 201
    assert cluster.admin("DELETE", f"{CORE}/serviceaccounts/robot").ok
    assert robot("POST", WHO, {}).status_code == 401
    cluster.admin.create(f"{CORE}/serviceaccounts", {"metadata": {"name": "robot"}})
    refused = robot("POST", WHO, {})
    assert (refused.status_code, refused.json()["message"]) == (401, "Unauthorized")


def test_a_token_for_somebody_else_is_no_token_for_the_api(cluster: Cluster) -> None:
    vault = cluster.account("robot", audiences=["vault"])
    assert vault("GET", "/api").status_code == 401
    reviewed = cluster.admin.create(TOKEN_REVIEWS, {"spec": {"token": vault.token, "audiences": ["vault", "x"]}})
    status = reviewed["status"]
    assert (status["authenticated"], status["audiences"]) == (True, ["vault"])
    assert status["user"]["username"] == "system:serviceaccount:system:robot"
    refused = cluster.admin.create(TOKEN_REVIEWS, {"spec": {"token": vault.token}})["status"]
    assert (refused.get("authenticated"), refused["user"], "meant for" in refused["error"]) == (None, {}, True)


def test_only_who_may_create_tokens_creates_them(cluster: Cluster) -> None:
    issuer = cluster.bound("issuer", rule("create", "serviceaccounts/token", names="robot"))
    cluster.admin.create(f"{CORE}/serviceaccounts", {"metadata": {"name": "robot"}})
    assert issuer("POST", TOKEN, {}).status_code == 201
    assert issuer("POST", TOKEN.replace("robot", "default"), {}).status_code == 403
    assert issuer("POST", TOKEN_REVIEWS, {"spec": {"token": "x"}}).status_code == 403
    delegator = role_binding("d", "ClusterRole", "system:auth-delegator", account("issuer"))
    cluster.admin.create(f"{RBAC}/clusterrolebindings", delegator)
    assert issuer("POST", TOKEN_REVIEWS, {"spec": {"token": "x"}}).status_code == 201


def test_the_resources_are_those_that_can_be_bound() -> None:
    assert (PODS.singular, SERVICE_ACCOUNTS.singular) == ("pod", "serviceaccount")
