"""Tokens of ServiceAccounts: made by TokenRequests, bound to objects, refused once these are gone.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ (bound service account tokens).
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from cluster.embedded.apiserver.authentication.jwt import Claims, InvalidToken, Signer
from cluster.embedded.apiserver.authorization.attributes import AUTHENTICATED, User
from cluster.embedded.apiserver.authorization.policy import SERVICE_ACCOUNT_PREFIX
from cluster.embedded.apiserver.refusals import bad_request, invalid
from cluster.embedded.apiserver.status import failure
from cluster.embedded.client import ApiError
from cluster.embedded.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Object, Resource

ISSUER = "https://kubernetes.default.svc"
"""Issuer of the tokens, and the audience of those that are meant for the API."""

DEFAULT_SECONDS = 3600
MINIMUM_SECONDS = 600
MAXIMUM_SECONDS = 2**32
_GROUP = "system:serviceaccounts"
_PRIVATE = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io/"
_BINDABLE = {("v1", "Pod"): PODS, ("v1", "Secret"): SECRETS, ("v1", "Node"): NODES}
_DELETION_LEEWAY_SECONDS = 60
_CACHED = 4096

Getter = Callable[[Resource, str, str], Object]
"""(resource, namespace, name) to the object; raises ApiError 404."""


def groups_of(namespace: str) -> tuple[str, ...]:
    """The groups of every ServiceAccount of a namespace."""
    return _GROUP, f"{_GROUP}:{namespace}", AUTHENTICATED


def split_name(user: str) -> tuple[str, str] | None:
    """(namespace, name) of a user that is a ServiceAccount."""
    namespace, separator, name = user.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    fits = user.startswith(SERVICE_ACCOUNT_PREFIX) and separator and namespace and name and ":" not in name
    return (namespace, name) if fits else None


class ServiceAccountTokens:
    """Issues and checks tokens.

    Args:
        get: reads an object of the API as it is now.
        signer: the key; a new one by default, so that tokens end with the process.
        clock: seconds since the epoch.
    """

    def __init__(self, get: Getter, signer: Signer | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._get = get
        self._signer = signer or Signer()
        self._clock = clock
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def request(self, namespace: str, name: str, wanted: Object) -> Object:
        """Answer a TokenRequest: the same with a token in its status. Raises ApiError 400, 404, 409 or 422."""
        account = self._get(SERVICE_ACCOUNTS, namespace, name)
        spec = dict(wanted.get("spec") or {})
        seconds = _seconds(spec.get("expirationSeconds"))
        audiences, reference = _audiences(spec.get("audiences")), spec.get("boundObjectRef") or None
        issued = int(self._clock())
        private: Claims = {"namespace": namespace, "serviceaccount": _identity(account)}
        if reference:
            private |= self._bind(namespace, name, reference)
        claims = {
            "aud": audiences,
            "exp": issued + seconds,
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            _PRIVATE: private,
            "nbf": issued,
            "sub": f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}",
        }
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": _stamp(issued),
            },
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": self._signer.sign(claims), "expirationTimestamp": _stamp(issued + seconds)},
        }

    def authenticate(self, token: str, audiences: frozenset[str] = frozenset({ISSUER})) -> User:
        """The ServiceAccount that a token for one of the audiences stands for. Raises InvalidToken."""
        claims = self._claims(token)
        now = self._clock()
        if not claims["nbf"] <= now < claims["exp"]:
            raise InvalidToken("the token has expired or is not valid yet")
        if audiences.isdisjoint(claims["aud"]):
            raise InvalidToken(f"the token is meant for {claims['aud']}")
        private = claims[_PRIVATE]
        namespace, account = private["namespace"], private["serviceaccount"]
        self._require(SERVICE_ACCOUNTS, namespace, account)
        extra = {f"{_EXTRA}credential-id": (f"JTI={claims['jti']}",)}
        for resource in _BINDABLE.values():
            if bound := private.get(resource.singular):
                self._require(resource, namespace if resource.namespaced else "", bound)
                if resource is not SECRETS:
                    extra[f"{_EXTRA}{resource.singular}-name"] = (bound["name"],)
                    extra[f"{_EXTRA}{resource.singular}-uid"] = (bound["uid"],)
        return User(claims["sub"], groups_of(namespace), account["uid"], extra)

    def audiences(self, token: str) -> list[str]:
        """The audiences of a token. Raises InvalidToken."""
        return list(self._claims(token)["aud"])

    def _claims(self, token: str) -> Claims:
        """The claims of a token; its signature is checked once."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = self._signer.verify(token)
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        return claims

    def _bind(self, namespace: str, account: str, reference: Object) -> Claims:
        if not isinstance(reference, dict):
            raise bad_request("TokenRequest: spec.boundObjectRef must be an object")
        kind, api_version, name = (reference.get(key, "") for key in ("kind", "apiVersion", "name"))
        resource = _BINDABLE.get((api_version, kind))
        if resource is None:
            raise bad_request(f"cannot bind token to object of type {_group_version_kind(api_version, kind)}")
        obj = self._get(resource, namespace if resource.namespaced else "", name)
        uid = obj["metadata"]["uid"]
        if reference.get("uid", uid) != uid:
            raise _other_uid(resource, name, reference["uid"])
        claims = {resource.singular: _identity(obj)}
        if resource is PODS:
            spec = obj.get("spec") or {}
            if spec.get("serviceAccountName", "default") != account:
                problem = "to pod running with different serviceaccount name."
                raise bad_request(f'cannot bind token for serviceaccount "{account}" {problem}')
            if node := spec.get("nodeName"):
                claims["node"] = self._node(node)
        return claims

    def _node(self, name: str) -> Claims:
        try:
            return _identity(self._get(NODES, "", name))
        except ApiError:
            return {"name": name}

    def _require(self, resource: Resource, namespace: str, identity: Claims) -> None:
        if resource is NODES and "uid" not in identity:
            return
        try:
            metadata = self._get(resource, namespace, identity["name"])["metadata"]
        except ApiError:
            raise InvalidToken(f"{resource.singular} {identity['name']} is gone") from None
        if metadata["uid"] != identity["uid"]:
            raise InvalidToken(f"{resource.singular} {identity['name']} is another one")
        deleted = metadata.get("deletionTimestamp")
        if deleted and datetime.fromisoformat(deleted).timestamp() + _DELETION_LEEWAY_SECONDS < self._clock():
            raise InvalidToken(f"{resource.singular} {identity['name']} has been deleted")


def _seconds(wanted: object) -> int:
    if wanted is None:
        return DEFAULT_SECONDS
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        raise bad_request("TokenRequest: spec.expirationSeconds must be an integer")
    problem = ""
    if wanted < MINIMUM_SECONDS:
        problem = "may not specify a duration less than 10 minutes"
    elif wanted > MAXIMUM_SECONDS:
        problem = "may not specify a duration larger than 2^32 seconds"
    if problem:
        text = f"Invalid value: {wanted}: {problem}"
        field = "spec.expirationSeconds"
        raise invalid("TokenRequest", "authentication.k8s.io", "", field, "FieldValueInvalid", text)
    return wanted


def _audiences(wanted: object) -> list[str]:
    if not wanted:
        return [ISSUER]
    if not isinstance(wanted, list) or not all(isinstance(audience, str) for audience in wanted):
        raise bad_request("TokenRequest: spec.audiences must be a list of strings")
    return wanted


def _identity(obj: Object) -> Claims:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def _group_version_kind(api_version: str, kind: str) -> str:
    return f"{api_version if '/' in api_version else '/' + api_version}, Kind={kind}"


def _other_uid(resource: Resource, name: str, uid: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {resource.kind} "{name}": the UID in the bound object reference ({uid}) '
        "does not match the UID in record. The object might have been deleted and then recreated"
    )
    return failure(409, "Conflict", message, {"name": name, "kind": resource.kind})


def _stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
