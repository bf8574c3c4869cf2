"""What stands between a request and its answer: who asks, as whom, and whether they may."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from aiohttp import web

from cluster.embedded.apiserver.auth import ALWAYS_ALLOWED
from cluster.embedded.apiserver.authentication import token_requests
from cluster.embedded.apiserver.authentication.authenticator import Authenticator, impersonated
from cluster.embedded.apiserver.authentication.service_accounts import ServiceAccountTokens
from cluster.embedded.apiserver.authorization.attributes import User, of_request
from cluster.embedded.apiserver.authorization.authorizer import Authorizer
from cluster.embedded.apiserver.authorization.guard import GuardedAdapter, Requester, requester
from cluster.embedded.apiserver.authorization.reviews import Reviews
from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.routes import Route

log = logging.getLogger(__name__)

_STREAMING = ("exec", "attach", "portforward")


class Access:
    """Authentication and authorization of one API server.

    Args:
        token: the cluster's own token; its user is in group ``system:masters``.

    Attributes:
        adapter: the Registry, guarded against granting more than one has.
        tokens: the tokens of ServiceAccounts.
    """

    def __init__(self, registry: Registry, token: str) -> None:
        self.tokens = ServiceAccountTokens(registry.get)
        self._authorizer = Authorizer(LocalClient(registry))
        self._authenticator = Authenticator(token, self.tokens)
        self._reviews = Reviews(self._authorizer, self._authenticator)
        self.adapter = GuardedAdapter(registry, self._authorizer)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow roles and bindings; returns when those that exist are known."""
        self._following = asyncio.create_task(self._authorizer.run())
        self._following.add_done_callback(_ended)
        await self._authorizer.synced()

    async def stop(self) -> None:
        """Stop following."""
        if self._following:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    def admit(self, request: web.BaseRequest) -> None:
        """Let the request pass as its user's, for the rest of its task. Raises ApiError 401 or 403."""
        user = impersonated(self._authenticator.user(request.headers), request.headers, self._authorizer)
        asked = of_request(request.method, request.path, request.query)
        requester.set(Requester(user, asked))
        if asked.path in ALWAYS_ALLOWED:
            return
        self._authorizer.require(user, asked)
        if asked.subresource in _STREAMING and asked.verb == "get" and asked.resource == "pods":
            # A WebSocket begins with a GET, but to run something in a pod is to create (Kubernetes 1.35).
            self._authorizer.require(user, replace(asked, verb="create"))

    async def review(self, request: web.BaseRequest, route: Route) -> web.Response:
        """Answer a review. Raises ApiError."""
        return await self._reviews.handle(request, route, _user())

    async def token(self, request: web.BaseRequest, route: Route) -> web.Response:
        """Answer a TokenRequest. Raises ApiError."""
        return await token_requests.handle(request, route, self.adapter, self.tokens)


def _user() -> User:
    return requester.get().user


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("roles and bindings are no longer followed", exc_info=error)
