"""The HTTPS server: one handler for every request, from the token to the Status of an error."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from cluster.embedded.apiserver import discovery, exec, metrics, openapi, pod_access, pod_actions, port_forward, scale
from cluster.embedded.apiserver.access import Access
from cluster.embedded.apiserver.compaction import keep_compacting
from cluster.embedded.apiserver.gotext import go_quote
from cluster.embedded.apiserver.metrics import METRICS, MetricsApi
from cluster.embedded.apiserver.negotiation import negotiate
from cluster.embedded.apiserver.pod_streams import PodStreams
from cluster.embedded.apiserver.refusals import (
    NoSuchPath,
    bad_request,
    body_too_large,
    method_not_allowed,
    timed_out,
)
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.responses import NO_CACHE, error_response, json_response, text_response
from cluster.embedded.apiserver.rest import Rest
from cluster.embedded.apiserver.routes import SUBRESOURCES, Route, parse
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.streams import SLOW_CLIENT_SECONDS, ClientTooSlow, OpenStreams, send
from cluster.embedded.apiserver.usage import UsageSource
from cluster.embedded.apiserver.watch import BOOKMARK_PERIOD_SECONDS
from cluster.embedded.client import ApiError
from cluster.embedded.resources import BINDINGS, REVIEWS, SERVED

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import RawRequestMessage
    from aiohttp.streams import StreamReader

    from cluster.embedded.apiserver.authentication.service_accounts import ServiceAccountTokens
    from cluster.embedded.apiserver.tls import TlsFiles

log = logging.getLogger(__name__)

_HEALTH = ("healthz", "livez", "readyz")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SHUTDOWN_SECONDS = 2.0
DEPRECATED = {"endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}
"""What a client of a resource is warned of, by resource."""
_LINGERING_SECONDS = 1.0
REQUEST_SECONDS = 60.0
"""A real server's --request-timeout."""
MAX_BODY_BYTES = 3 * 1024 * 1024
"""The limit of a real API server for one request body."""


class ApiServer:
    """Serves a Registry as the Kubernetes API.

    Args:
        token: the bearer token of the cluster, which may do everything. Others may what the roles let them.
        tls: the server certificate; None serves plain HTTP, over which client-go sends no token.
        pod_streams: logs, commands and ports of the pods.
        usage: what the nodes measure; without it there is no metrics API.
        request_seconds: how long a client may take to send a request and to read its answer.
        slow_client_seconds: how long a client of a stream may not read.
        bookmark_period_seconds: how often idle watches get a bookmark.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        token: str,
        tls: TlsFiles | None,
        pod_streams: PodStreams,
        usage: UsageSource | None = None,
        request_seconds: float = REQUEST_SECONDS,
        slow_client_seconds: float = SLOW_CLIENT_SECONDS,
        bookmark_period_seconds: float = BOOKMARK_PERIOD_SECONDS,
    ) -> None:
        self._access = Access(registry, token)
        self._adapter = self._access.adapter
        self._tls = tls
        self._pod_streams = pod_streams
        self._metrics = MetricsApi(self._adapter, usage) if usage else None
        self._resources = (*SERVED, *METRICS) if usage else SERVED
        self._request_seconds = request_seconds
        self._open_streams = OpenStreams(slow_client_seconds)
        self._rest = Rest(self._adapter, self._open_streams, bookmark_period_seconds=bookmark_period_seconds)
        self._runner: web.ServerRunner | None = None
        self._compacting: asyncio.Task[None] | None = None
        self._address = ""

    @property
    def tokens(self) -> ServiceAccountTokens:
        """Issues and checks the tokens of ServiceAccounts, for components in the process."""
        return self._access.tokens

    @property
    def metrics(self) -> MetricsApi | None:
        """The metrics API, for components in the process; None without measurements."""
        return self._metrics

    @property
    def open_streams(self) -> int:
        """How many watches, logs and commands are being answered."""
        return len(self._open_streams)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the bound port. Raises OSError when the port is taken."""
        await self._access.start()
        server = web.Server(
            self._handle,
            request_factory=partial(_request, self._request_seconds),
            handler_cancellation=True,
            access_log=None,
            lingering_time=_LINGERING_SECONDS,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        context = self._tls.context() if self._tls else None
        await web.TCPSite(self._runner, host, port, ssl_context=context).start()
        self._compacting = asyncio.create_task(keep_compacting(self._adapter.registry.store))
        bound: int = self._runner.addresses[0][1]
        self._address = f"{host}:{bound}"
        return bound

    async def stop(self) -> None:
        """End all watches and streams, then close."""
        self._open_streams.end_all()
        if self._compacting:
            self._compacting.cancel()
        if self._runner:
            await self._runner.cleanup()
        await self._access.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._judged(request)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                return await send(request, response, response.body, self._request_seconds)
        except ClientTooSlow:
            log.info("hung up on a client that did not read: %s %s", request.method, request.path)
            return web.Response()
        return response

    async def _judged(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._access.admit(request)
            return await self._answer(request)
        except ApiError as error:
            return error_response(error)
        except web.HTTPRequestEntityTooLarge:
            return error_response(body_too_large(MAX_BODY_BYTES))
        except RecursionError:
            return error_response(bad_request("exceeded max depth"))
        except RequestTooSlow:
            return error_response(timed_out())
        except NoSuchPath:
            return text_response("404 page not found\n", 404)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("%s %s", request.method, request.path)
            return error_response(failure(500, "InternalError", "Internal error occurred: see the server's log"))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = tuple(part for part in request.path.split("/") if part)
        document = self._document(request, parts)
        if document is None and self._metrics and parts[:3] == ("apis", metrics.GROUP, metrics.VERSION):
            return self._metrics.handle(request)
        if document is None:
            return await self._resource(request, parse(request.path))
        if request.method != "GET":
            raise method_not_allowed()
        return document

    def _document(self, request: web.BaseRequest, parts: tuple[str, ...]) -> web.Response | None:
        """What is not a resource; None when the path may name one."""
        match parts:
            case (root,) if root in ("api", "apis") and discovery.wants_aggregated(_accept(request)):
                return _cached(request, *discovery.aggregated(root, self._resources), discovery.AGGREGATED)
            case (root,) if root in ("api", "apis"):
                negotiate(_accept(request))
            case (health, *_) if health in _HEALTH:
                return text_response("ok")
            case ("version",):
                return json_response(discovery.VERSION)
            case ():
                return json_response({"paths": discovery.paths(self._resources)})
            case ("openapi", "v3"):
                return _cached(request, *openapi.index(), "text/plain; charset=utf-8")
            case ("openapi", "v3", *root):
                return _openapi_document(request, "/".join(root))
        document = discovery.legacy(parts, self._address, self._resources)
        return json_response(document) if document else None

    async def _resource(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        if route.resource in REVIEWS:
            return await self._access.review(request, route)
        if route.resource is BINDINGS:
            return await pod_actions.bind(request, route, self._adapter)
        allowed = SUBRESOURCES.get(route.subresource, _METHODS)
        if request.method not in allowed:
            raise method_not_allowed()
        match route.subresource:
            case "token":
                return await self._access.token(request, route)
            case "scale":
                return await scale.handle(request, route, self._adapter)
            case "binding":
                return await pod_actions.bind(request, route, self._adapter)
            case "eviction":
                return await pod_actions.evict(request, route, self._adapter)
            case "log":
                return await pod_access.logs(request, route, self._adapter, self._pod_streams, self._open_streams)
            case "exec" | "attach":
                return await exec.handle(request, route, self._adapter, self._pod_streams, self._open_streams)
            case "portforward":
                return await port_forward.handle(request, route, self._adapter, self._pod_streams, self._open_streams)
        warning = DEPRECATED.get(route.resource.group_resource)
        try:
            response = await self._rest.handle(request, route)
        except ApiError as error:
            if not warning:
                raise
            response = error_response(error)
        if warning and not response.prepared:
            response.headers.add("Warning", f"299 - {go_quote(warning)}")
        return response


class RequestTooSlow(Exception):
    """The body of a request did not arrive in time."""


class _Request(web.BaseRequest):
    seconds = REQUEST_SECONDS

    async def read(self) -> bytes:
        """The body. Raises RequestTooSlow."""
        try:
            async with asyncio.timeout(self.seconds):
                return await super().read()
        except TimeoutError:
            raise RequestTooSlow from None


def _request(
    seconds: float,
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    request = _Request(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)
    request.seconds = seconds
    return request


def _accept(request: web.BaseRequest) -> str:
    return request.headers.get("Accept", "")


def _openapi_document(request: web.BaseRequest, root: str) -> web.Response:
    try:
        data, etag = openapi.document(root)
    except KeyError:
        raise NoSuchPath(request.path) from None
    response = _cached(request, data, etag, "application/json")
    if request.query.get("hash") == etag.strip('"'):
        response.headers["Cache-Control"] = "public, immutable"
    return response


def _cached(request: web.BaseRequest, data: bytes, etag: str, content_type: str) -> web.Response:
    """A document with an ETag; 304 when the client has it."""
    headers = {**NO_CACHE, "ETag": etag, "Vary": "Accept"}
    if content_type == discovery.AGGREGATED:
        headers["Cache-Control"] = "public"
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, headers={**headers, "Content-Type": content_type})
