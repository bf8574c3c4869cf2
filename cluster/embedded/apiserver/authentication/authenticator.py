"""From the headers of a request to the user who makes it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import unquote

from multidict import CIMultiDict, CIMultiDictProxy

from cluster.embedded.apiserver.authentication.jwt import InvalidToken
from cluster.embedded.apiserver.authentication.service_accounts import (
    ISSUER,
    ServiceAccountTokens,
    groups_of,
    split_name,
)
from cluster.embedded.apiserver.authorization.attributes import (
    ANONYMOUS,
    ANONYMOUS_USER,
    AUTHENTICATED,
    MASTERS,
    UNAUTHENTICATED,
    Attributes,
    User,
)
from cluster.embedded.apiserver.authorization.authorizer import Authorizer
from cluster.embedded.apiserver.refusals import unauthorized
from cluster.embedded.apiserver.status import failure

Headers = CIMultiDictProxy[str] | CIMultiDict[str]
ADMIN = User("admin", (MASTERS, AUTHENTICATED), "admin")
"""Whom the cluster's own token stands for."""

_EXTRA_PREFIX = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Knows the cluster's own token and those of ServiceAccounts."""

    admin_token: str
    tokens: ServiceAccountTokens

    def user(self, headers: Headers) -> User:
        """The user of a request, anonymous without a bearer token. Raises ApiError 401 for an invalid token."""
        scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS_USER
        try:
            return self.authenticate(token.strip())
        except InvalidToken:
            raise unauthorized() from None

    def authenticate(self, token: str, audiences: frozenset[str] = frozenset({ISSUER})) -> User:
        """The user of a token that is valid for one of the audiences. Raises InvalidToken."""
        if self._is_admin(token):
            if ISSUER not in audiences:
                raise InvalidToken("the token is meant for the API only")
            return ADMIN
        return self.tokens.authenticate(token, audiences)

    def audiences(self, token: str) -> list[str]:
        """The audiences of a token that is valid. Raises InvalidToken."""
        return [ISSUER] if self._is_admin(token) else self.tokens.audiences(token)

    def _is_admin(self, token: str) -> bool:
        """Takes the same time for every wrong token."""
        return hmac.compare_digest(token.encode(errors="surrogateescape"), self.admin_token.encode())


def impersonated(user: User, headers: Headers, authorizer: Authorizer) -> User:
    """The user a request wants to be seen as (Impersonate-* headers), or its own. Raises ApiError 403 or 500.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
    """
    name, uid = headers.get("Impersonate-User", ""), headers.get("Impersonate-Uid", "")
    groups = tuple(headers.getall("Impersonate-Group", []))
    extra = _extra(headers)
    if not name:
        if groups or uid or extra:
            message = "Internal error occurred: requested impersonation of groups, uid or extra without a user"
            raise failure(500, "InternalError", message)
        return user
    for asked in _needed(name, groups, uid, extra):
        authorizer.require(user, asked)
    return User(name, _with_default_groups(name, groups), uid, extra)


def _needed(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]) -> list[Attributes]:
    account = split_name(name)
    if account:
        needed = [Attributes("impersonate", "", "serviceaccounts", name=account[1], namespace=account[0])]
    else:
        needed = [Attributes("impersonate", "", "users", name=name)]
    needed += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    if uid:
        needed.append(Attributes("impersonate", _AUTHENTICATION, "uids", name=uid))
    for key, values in extra.items():
        needed += [Attributes("impersonate", _AUTHENTICATION, "userextras", key, value) for value in values]
    return needed


def _with_default_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    if name == ANONYMOUS:
        return groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    if not groups and (account := split_name(name)):
        return groups_of(account[0])
    return groups if AUTHENTICATED in groups or UNAUTHENTICATED in groups else (*groups, AUTHENTICATED)


def _extra(headers: Headers) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA_PREFIX):
            found.setdefault(unquote(header.lower().removeprefix(_EXTRA_PREFIX)), []).append(value)
    return {key: tuple(values) for key, values in found.items()}
