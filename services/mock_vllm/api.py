"""The HTTP surface: exactly the routes that vLLM's OpenAI-compatible server has (that a game day needs)."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from services.mock_vllm.completions import Completions
from services.mock_vllm.engine_loop import EngineLoop
from services.mock_vllm.faults import FaultSwitch
from services.mock_vllm.logs import ACCESS, API
from services.mock_vllm.metrics import CONTENT_TYPE, HttpMetrics, exposition
from services.mock_vllm.options import Options
from services.mock_vllm.protocol import ApiError, internal_error
from services.mock_vllm.settings import Settings

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_GUARDED_PREFIXES = ("/v1", "/v2", "/inference", "/cohere")
_MAX_BODY_BYTES = 64 * 2**20
_UNMEASURED = frozenset({"/metrics", "/health", "/load", "/ping", "/version", "/server_info"})


class Api:
    """Handlers that need no more than the server's state.

    Attributes:
        in_flight: completion requests being answered.
        quiet: set while there is none.
    """

    def __init__(self, options: Options, settings: Settings, loop: EngineLoop, faults: FaultSwitch) -> None:
        self._options, self._settings, self._loop, self._faults = options, settings, loop, faults
        self._created = int(time.time())
        self.in_flight = 0
        self.quiet = asyncio.Event()
        self.quiet.set()

    async def health(self, _: web.Request) -> web.Response:
        """Empty 200; 503 only when the engine has died. A hung engine is healthy here, as on real vLLM."""
        if self._faults.current.health_delay_seconds:
            await asyncio.sleep(self._faults.current.health_delay_seconds)
        return web.Response(status=503 if self._loop.died.is_set() else 200)

    async def load(self, _: web.Request) -> web.Response:
        """Requests in flight, if the server was told to count them."""
        return web.json_response({"server_load": self.in_flight if self._options.track_server_load else 0})

    async def version(self, _: web.Request) -> web.Response:
        """The version that the server claims."""
        return web.json_response({"version": self._settings.version})

    async def models(self, _: web.Request) -> web.Response:
        """The names under which the model is served."""
        models: list[dict[str, Any]] = [
            {
                "id": name,
                "object": "model",
                "created": self._created,
                "owned_by": "vllm",
                "root": self._options.model,
                "parent": None,
                "max_model_len": self._options.max_model_len,
                "permission": [],
            }
            for name in self._options.served_model_names
        ]
        return web.json_response({"object": "list", "data": models})

    def counted(self, handler: _Handler) -> _Handler:
        """The handler, its requests counted while they last."""

        async def count(request: web.Request) -> web.StreamResponse:
            self.in_flight += 1
            self.quiet.clear()
            try:
                return await handler(request)
            finally:
                self.in_flight -= 1
                if not self.in_flight:
                    self.quiet.set()

        return count


def build_app(
    api: Api, completions: Completions, options: Options, settings: Settings, registry: CollectorRegistry
) -> web.Application:
    """The application of the main port."""
    middlewares = [_measure(HttpMetrics(registry), options), _authenticate(options)]
    app = web.Application(middlewares=middlewares, client_max_size=_MAX_BODY_BYTES)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(registry), headers={"Content-Type": CONTENT_TYPE})

    async def served_by(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Served-By"] = settings.served_by
        response.headers["Server"] = "uvicorn"

    app.on_response_prepare.append(served_by)
    app.router.add_get("/health", api.health, allow_head=False)
    app.router.add_route("GET", "/ping", api.health)
    app.router.add_route("POST", "/ping", api.health)
    app.router.add_get("/load", api.load, allow_head=False)
    app.router.add_get("/version", api.version, allow_head=False)
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/v1/models", api.models, allow_head=False)
    app.router.add_post("/v1/completions", api.counted(completions.text))
    app.router.add_post("/v1/chat/completions", api.counted(completions.chat))
    if settings.ready_endpoint:
        app.router.add_get("/ready", api.health, allow_head=False)
    return app


def _authenticate(options: Options) -> Middleware:
    """Keys are asked for under `/v1` and its like only; probes and metrics stay open."""
    keys = [key.encode() for key in options.api_keys]

    @web.middleware
    async def authenticate(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if keys and request.method != "OPTIONS" and request.path.startswith(_GUARDED_PREFIXES):
            scheme, _, key = request.headers.get("Authorization", "").partition(" ")
            allowed = [hmac.compare_digest(key.encode(), known) for known in keys]
            if scheme.lower() != "bearer" or not any(allowed):
                return web.json_response({"error": "Unauthorized"}, status=401)
        return await handler(request)

    return authenticate


def _measure(metrics: HttpMetrics, options: Options) -> Middleware:
    """Errors become bodies, and every answer is counted and logged."""

    @web.middleware
    async def measure(request: web.Request, handler: _Handler) -> web.StreamResponse:
        started = time.monotonic()
        response = await _respond(request, handler)
        path = _route_path(request)
        if path not in _UNMEASURED:
            sent = response.body_length if response.prepared else response.content_length or 0
            seconds = time.monotonic() - started
            metrics.observe(path, request.method, response.status, seconds, request.content_length or 0, sent)
        if options.access_log:
            phrase = HTTPStatus(response.status).phrase
            ACCESS.info(
                '%s - "%s %s HTTP/1.1" %d %s', _peer(request), request.method, request.path, response.status, phrase
            )
        return response

    return measure


async def _respond(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status)
    except web.HTTPException as error:
        return web.json_response({"detail": HTTPStatus(error.status).phrase}, status=error.status)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        API.exception("Unhandled exception in %s %s", request.method, request.path)
        return web.json_response(internal_error("Internal server error").body(), status=500)


def _route_path(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _peer(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"{peer[0]}:{peer[1]}" if peer else "-"
