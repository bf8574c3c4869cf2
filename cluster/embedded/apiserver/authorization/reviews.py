"""Reviews: questions about permissions and users, answered by the same code that decides on requests.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from cluster.embedded.apiserver.authentication.authenticator import Authenticator
from cluster.embedded.apiserver.authentication.jwt import InvalidToken
from cluster.embedded.apiserver.authentication.service_accounts import ISSUER
from cluster.embedded.apiserver.authorization.attributes import MASTERS, Attributes, User
from cluster.embedded.apiserver.authorization.authorizer import Authorizer
from cluster.embedded.apiserver.bodies import decode_object
from cluster.embedded.apiserver.refusals import bad_request, invalid, method_not_allowed
from cluster.embedded.apiserver.registry import now
from cluster.embedded.apiserver.responses import json_response
from cluster.embedded.apiserver.rest import content_type, write_options
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.client import ApiError
from cluster.embedded.resources import (
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    Object,
)


@dataclass(frozen=True, slots=True)
class Reviews:
    """Answers reviews of permissions, of tokens, and of who one is."""

    authorizer: Authorizer
    authenticator: Authenticator

    async def handle(self, request: web.BaseRequest, route: Route, user: User) -> web.Response:
        """Answer a POST of a review. Raises ApiError."""
        if request.method != "POST" or route.name:
            raise method_not_allowed()
        review = decode_object(await request.read(), content_type(request), route.resource)
        answered = self.answer(route, user, review)
        manager = write_options(request).field_manager
        answered["metadata"] = _metadata(answered, route, manager)
        return json_response(answered, 201)

    def answer(self, route: Route, user: User, review: Object) -> Object:
        """The review with its status. Raises ApiError 400 or 422."""
        answers: dict[str, Callable[[Object], Object]] = {
            SELF_SUBJECT_ACCESS_REVIEWS.kind: lambda spec: self._access(route, user, spec),
            SUBJECT_ACCESS_REVIEWS.kind: lambda spec: self._access(route, _subject(route, spec), spec),
            LOCAL_SUBJECT_ACCESS_REVIEWS.kind: lambda spec: self._local_access(route, spec),
            SELF_SUBJECT_RULES_REVIEWS.kind: lambda spec: self._rules(user, spec),
            SELF_SUBJECT_REVIEWS.kind: lambda _: {"userInfo": user_info(user)},
            TOKEN_REVIEWS.kind: self._token,
        }
        kind, spec = route.resource.kind, review.get("spec") or {}
        if not isinstance(spec, dict):
            raise bad_request(f"{kind}: spec must be an object")
        body: Object = {"kind": kind, "apiVersion": route.resource.api_version, "metadata": review.get("metadata")}
        if kind != SELF_SUBJECT_REVIEWS.kind:
            body["spec"] = spec
        return {**body, "status": answers[kind](spec)}

    def _access(self, route: Route, user: User, spec: Object) -> Object:
        decision = self.authorizer.authorize(user, _asked(route, spec))
        status: Object = {"allowed": decision.allowed}
        return {**status, "reason": decision.reason} if decision.reason else status

    def _local_access(self, route: Route, spec: Object) -> Object:
        resource = spec.get("resourceAttributes")
        namespace = resource.get("namespace", "") if isinstance(resource, dict) else ""
        if spec.get("nonResourceAttributes"):
            raise _invalid(route, "nonResourceAttributes", "Forbidden: disallowed on this kind of request")
        if namespace != route.namespace:
            problem = f'Invalid value: "{namespace}": must match metadata.namespace'
            raise _invalid(route, "resourceAttributes.namespace", problem)
        return self._access(route, _subject(route, spec), spec)

    def _rules(self, user: User, spec: Object) -> Object:
        namespace = spec.get("namespace") or ""
        if not namespace or not isinstance(namespace, str):
            raise bad_request("no namespace on request")
        rules = [rule for grant in self.authorizer.policy.grants(user, namespace) for rule in grant.raw]
        if MASTERS in user.groups and not rules:
            rules = [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        keys = ("verbs", "apiGroups", "resources", "resourceNames")
        return {
            "resourceRules": [{k: r[k] for k in keys if r.get(k)} for r in rules if r.get("resources")],
            "nonResourceRules": [
                {k: r[k] for k in ("verbs", "nonResourceURLs") if r.get(k)} for r in rules if r.get("nonResourceURLs")
            ],
            "incomplete": False,
        }

    def _token(self, spec: Object) -> Object:
        token, audiences = spec.get("token") or "", spec.get("audiences") or [ISSUER]
        if not isinstance(token, str) or not token:
            raise bad_request("token is required for TokenReview in authentication")
        if not isinstance(audiences, list) or not all(isinstance(audience, str) for audience in audiences):
            raise bad_request("TokenReview: spec.audiences must be a list of strings")
        wanted = frozenset(audiences)
        try:
            user = self.authenticator.authenticate(token, wanted)
            audiences = [a for a in self.authenticator.audiences(token) if a in wanted]
        except InvalidToken as error:
            return {"user": {}, "error": f"[invalid bearer token, {error}]"}
        return {"authenticated": True, "user": user_info(user), "audiences": audiences}


def user_info(user: User) -> Object:
    """A user as UserInfo of authentication.k8s.io/v1."""
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _asked(route: Route, spec: Object) -> Attributes:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if not resource and not path:
        problem = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid(route, "resourceAttributes", problem)
    if resource and path:
        problem = "Invalid value: cannot be specified in combination with resourceAttributes"
        raise _invalid(route, "nonResourceAttributes", problem)
    given = resource or path
    if not isinstance(given, dict) or not all(isinstance(given.get(key) or "", str) for key in _STRINGS):
        raise bad_request(f"{route.resource.kind}: the attributes must be an object of strings")
    if path:
        return Attributes(given.get("verb") or "", path=given.get("path") or "/")
    return Attributes(**{key: given.get(key) or "" for key in _STRINGS if key != "path"})


_STRINGS = ("verb", "group", "resource", "subresource", "name", "namespace", "path")


def _subject(route: Route, spec: Object) -> User:
    name, groups = spec.get("user") or "", spec.get("groups") or []
    if not name and not groups:
        raise _invalid(route, "user", 'Invalid value: "": at least one of user or group must be specified')
    if not isinstance(name, str) or not isinstance(groups, list) or not all(isinstance(g, str) for g in groups):
        raise bad_request(f"{route.resource.kind}: user must be a string, groups a list of strings")
    return User(name, tuple(groups))


def _invalid(route: Route, field: str, problem: str) -> ApiError:
    reason = "FieldValueForbidden" if problem.startswith("Forbidden") else "FieldValueInvalid"
    return invalid(route.resource.kind, route.resource.group, "", f"spec.{field}", reason, problem)


def _metadata(review: Object, route: Route, manager: str) -> Object:
    kept = {key: value for key, value in (review.get("metadata") or {}).items() if value}
    if route.resource is SELF_SUBJECT_REVIEWS:
        return {**kept, "creationTimestamp": now()}
    if route.namespace:
        kept["namespace"] = route.namespace
    return {**kept, "managedFields": managed_fields(review, manager)} if manager else kept


def managed_fields(obj: Object, manager: str, subresource: str = "") -> list[Object]:
    """The managedFields of an object that is answered, not stored: all of its spec is the manager's."""
    entry: Object = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": _field_set(obj.get("spec") or {})},
    }
    return [{**entry, "subresource": subresource} if subresource else entry]


def _field_set(value: Any) -> Object:
    if not isinstance(value, dict):
        return {}
    return {f"f:{key}": _field_set(inner) for key, inner in sorted(value.items()) if inner is not None}
