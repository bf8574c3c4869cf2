"""The router over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import CONTENT_TYPE_LATEST

from services.api_router import relay
from services.api_router.backend import Backends
from services.api_router.directory import Directory, Route
from services.api_router.metrics import UNKNOWN_MODEL, RouterMetrics
from services.api_router.refusals import Outcome, Refusal

logger = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 64 * 1024
# A client that leaves before its answer begins has given up on us if it waited longer than the latency objective.
PATIENCE_SECONDS = 3.0
FORWARDED = ("Content-Type", "Accept", "traceparent", "tracestate")


@dataclass(slots=True)
class Exchange:
    """One request on its way: what the metrics will say of it."""

    trace_id: str
    started: float
    model: str = UNKNOWN_MODEL
    backend: str = ""
    began: bool = False
    outcome: Outcome = "error"

    def left_by_client(self) -> Outcome:
        """The outcome when the client has closed the connection."""
        waited = time.monotonic() - self.started
        return "error" if not self.began and waited > PATIENCE_SECONDS else "client_error"


class Router:
    """The handlers of the router.

    Args:
        keys: API keys that may use it.
        directory: finds routes.
        backends: reaches them.
        metrics: counts every request.
    """

    def __init__(self, keys: list[str], directory: Directory, backends: Backends, metrics: RouterMetrics) -> None:
        self._keys = [key.encode() for key in keys]
        self._directory = directory
        self._backends = backends
        self._metrics = metrics
        self.draining = False

    def application(self) -> web.Application:
        """The application; it closes what the router uses when it is cleaned up."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_post("/v1/completions", self.infer)
        app.router.add_post("/v1/chat/completions", self.infer)
        app.router.add_get("/v1/status/healthz", self.healthz)
        app.router.add_get("/v1/status/readyz", self.readyz)
        app.router.add_get("/metrics", self.show_metrics)
        app.on_cleanup.append(self._close)
        return app

    async def infer(self, request: web.Request) -> web.StreamResponse:
        """Answers one inference request and counts it, whatever becomes of it."""
        exchange = Exchange(_trace_id(request), time.monotonic())
        self._metrics.in_flight.inc()
        try:
            return await self._answered(request, exchange)
        except (asyncio.CancelledError, ConnectionResetError):
            exchange.outcome = (
                ("stream_cut" if exchange.began else "error") if self.draining else exchange.left_by_client()
            )
            raise
        finally:
            self._metrics.in_flight.dec()
            self._metrics.observe(exchange.model, exchange.outcome, time.monotonic() - exchange.started)

    async def healthz(self, request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Ready unless it is stopping. Redis and the registry are reported only: without them a router still serves
        what it can, and every replica without them would be no service at all."""
        if self.draining:
            return web.json_response({"status": "draining"}, status=503)
        problems = await self._directory.problems()
        degraded = any(problem != "ok" for problem in problems.values())
        return web.json_response({"status": "degraded" if degraded else "ready", **problems})

    async def show_metrics(self, request: web.Request) -> web.Response:
        """The exposition text."""
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _answered(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        try:
            return await self._routed(request, exchange)
        except Refusal as refusal:
            response = self._refused(refusal, exchange)
        except web.HTTPRequestEntityTooLarge:
            too_large = Refusal("REQUEST_TOO_LARGE", f"the body is larger than {BODY_LIMIT_BYTES} bytes")
            response = self._refused(too_large, exchange)
        except ConnectionResetError:
            raise
        except Exception:
            logger.exception("request %s failed", exchange.trace_id)
            if exchange.began:
                raise
            response = self._refused(Refusal("INTERNAL_ERROR", "the router failed"), exchange)
        return response

    def _refused(self, refusal: Refusal, exchange: Exchange) -> web.Response:
        exchange.outcome = refusal.outcome
        response = refusal.response(exchange.trace_id)
        self._mark(response, exchange)
        return response

    async def _routed(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        self._authenticate(request)
        body = await request.read()
        exchange.model = _model(body)
        route = await self._directory.find(exchange.model)
        exchange.backend = route.endpoint
        upstream = await self._backends.open(route, request.path, body, _forwarded(request, exchange.trace_id))
        try:
            return await self._passed_on(request, upstream, route, exchange)
        finally:
            upstream.close()

    async def _passed_on(
        self, request: web.Request, upstream: aiohttp.ClientResponse, route: Route, exchange: Exchange
    ) -> web.StreamResponse:
        if upstream.status >= 500:
            self._metrics.backend_errors.labels(route.model, "status_5xx").inc()
            raise Refusal("BACKEND_ERROR", f"backend {route.endpoint} answered {upstream.status}")
        headers = relay.end_to_end_headers(upstream)
        if relay.is_stream(upstream):
            return await self._streamed(request, upstream, headers, exchange)
        response = web.Response(status=upstream.status, body=await relay.read_whole(upstream), headers=headers)
        self._mark(response, exchange)
        exchange.outcome = relay.answer_outcome(upstream.status)
        return response

    async def _streamed(
        self,
        request: web.Request,
        upstream: aiohttp.ClientResponse,
        headers: CIMultiDict[str],
        exchange: Exchange,
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status, headers=headers)
        response.content_length = upstream.content_length
        self._mark(response, exchange)
        exchange.began = True
        exchange.outcome = await relay.pass_stream(request, response, upstream)
        if exchange.outcome != "success":
            self._metrics.backend_errors.labels(exchange.model, exchange.outcome).inc()
            logger.warning("request %s to %s ended as %s", exchange.trace_id, exchange.backend, exchange.outcome)
        return response

    def _mark(self, response: web.StreamResponse, exchange: Exchange) -> None:
        response.headers["X-Request-Id"] = exchange.trace_id
        if exchange.backend:
            response.headers["X-Routing-Backend"] = exchange.backend
        if self.draining:
            response.force_close()

    def _authenticate(self, request: web.Request) -> None:
        given = request.headers.get("X-API-Key", "")
        if not given:
            scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
            given = credentials.strip() if scheme.lower() == "bearer" else ""
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        if not any(matches):
            raise Refusal("AUTH_INVALID", "send a valid API key as bearer token or X-API-Key")

    async def _close(self, app: web.Application) -> None:
        await self._backends.close()
        await self._directory.close()


def _trace_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else uuid.uuid4().hex


def _model(body: bytes) -> str:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Refusal("INVALID_REQUEST", "the body is no JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal("MISSING_FIELD", "the body names no model")
    return model


def _forwarded(request: web.Request, trace_id: str) -> dict[str, str]:
    """The headers for the backend. The API key stays here."""
    kept = {name: request.headers[name] for name in FORWARDED if name in request.headers}
    return {**kept, "X-Request-Id": trace_id, "Connection": "close"}
