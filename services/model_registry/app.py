"""The registry over HTTP: reading is free, changing needs the token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST

from clients.errors import EnvironmentUnusable, InputError
from services.model_registry import entries
from services.model_registry.metrics import RegistryMetrics
from services.model_registry.service import Change, RegistryService
from services.model_registry.store import NoSuchEntry

SERVICE = web.AppKey("service", RegistryService)
METRICS = web.AppKey("metrics", RegistryMetrics)
TOKEN = web.AppKey("token", bytes)

MODEL = "/v1/registry/models/{environment}/{model}"
CALLER_HEADER = "X-Owner"


def create_app(service: RegistryService, token: str) -> web.Application:
    """The application; it closes the service when it is cleaned up.

    Args:
        service: the registry.
        token: bearer token that every change needs.

    Raises:
        InputError: the token is empty.
    """
    if not token:
        raise InputError("no token is set", where="MODEL_REGISTRY_TOKEN", remedy="set a secret of your choice")
    app = web.Application(middlewares=[_counted, _explained, _authorized])
    app[SERVICE] = service
    app[METRICS] = RegistryMetrics()
    app[TOKEN] = token.encode()
    app.router.add_get("/v1/registry/models", _list)
    app.router.add_get(MODEL, _get)
    app.router.add_put(MODEL, _register)
    app.router.add_post(MODEL + "/enable", _enable)
    app.router.add_post(MODEL + "/disable", _disable)
    app.router.add_delete("/v1/registry/cache/{environment}/{model}", _clear_cache)
    app.router.add_put("/v1/registry/faults/stale-cache", _set_stale_cache)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    app.on_cleanup.append(_close)
    return app


async def _close(app: web.Application) -> None:
    await app[SERVICE].cache.close()
    app[SERVICE].store.close()


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    request.app[METRICS].requests.labels(request.method, route, str(response.status)).inc()
    return response


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except NoSuchEntry as error:
        return _error(404, "NOT_FOUND", error)
    except InputError as error:
        return _error(400, "VALIDATION_ERROR", error)
    except EnvironmentUnusable as error:
        return _error(503, "DATABASE_UNAVAILABLE", error)
    except web.HTTPException as error:
        return _error(error.status, error.reason.upper().replace(" ", "_"), error.reason)


@web.middleware
async def _authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in {"GET", "HEAD"} and not _has_token(request):
        return _error(401, "AUTH_INVALID", "changes need the registry's token as bearer")
    return await handler(request)


def _has_token(request: web.Request) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), request.app[TOKEN])
    return matches and scheme.lower() == "bearer"


def _error(status: int, code: str, problem: object) -> web.Response:
    return web.json_response({"error": str(problem), "code": code}, status=status)


async def _list(request: web.Request) -> web.Response:
    environment, status = request.query.get("environment"), request.query.get("status")
    if environment is not None:
        entries.check_environment(environment)
    if status is not None:
        entries.check_status(status)
    found = await request.app[SERVICE].list(environment, status, request.query.get("model_name"))
    return web.json_response({"data": [entry.as_json() for entry in found]})


async def _get(request: web.Request) -> web.Response:
    environment, model = _names(request)
    entry = await request.app[SERVICE].get(environment, model)
    if entry is None:
        raise NoSuchEntry("model not found", where=f"{environment}/{model}", remedy="register it")
    return web.json_response(entry.as_json())


async def _register(request: web.Request) -> web.Response:
    environment, model = _names(request)
    body = await _body(request)
    endpoint, namespace = _text(body, "endpoint"), _text(body, "namespace") or "system"
    entries.check_endpoint(endpoint)
    change = await request.app[SERVICE].register(
        environment, model, endpoint, namespace, force=_flag(body, "force"), by=_caller(request)
    )
    return _changed(request, "register", change, status=200 if change.before else 201)


async def _enable(request: web.Request) -> web.Response:
    change = await request.app[SERVICE].enable(*_names(request), by=_caller(request))
    return _changed(request, "enable", change)


async def _disable(request: web.Request) -> web.Response:
    environment, model = _names(request)
    body = await _body(request)
    owner = _text(body, "owner") or _caller(request)
    change = await request.app[SERVICE].disable(environment, model, reason=_text(body, "reason"), owner=owner)
    return _changed(request, "disable", change)


async def _clear_cache(request: web.Request) -> web.Response:
    outcome = await request.app[SERVICE].cache.clear(*_names(request))
    if outcome == "pending":
        return _error(503, "CACHE_UNAVAILABLE", "Redis does not answer; the key is deleted as soon as it does")
    return web.json_response({"cache": outcome})


async def _set_stale_cache(request: web.Request) -> web.Response:
    body = await _body(request)
    request.app[SERVICE].cache.invalidate = not _flag(body, "enabled")
    return web.json_response({"stale_cache": not request.app[SERVICE].cache.invalidate})


async def _healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    database, cache = await _problem(service.ping), await service.cache.check()
    detail = {
        "status": "unready" if database else "degraded" if cache else "ready",
        "database": database or "ok",
        "cache": cache or "ok",
        "stale_cache_fault": not service.cache.invalidate,
    }
    return web.json_response(detail, status=503 if database else 200)


async def _problem(check: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await check()
    except EnvironmentUnusable as error:
        return str(error)
    return None


async def _metrics(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    try:
        found = await service.list(None, None, None)
    except EnvironmentUnusable:
        found = None
    body = request.app[METRICS].render(
        found, cache_up=service.cache.problem is None, stale_fault=not service.cache.invalidate
    )
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _changed(request: web.Request, verb: str, change: Change, *, status: int = 200) -> web.Response:
    request.app[METRICS].changes.labels(verb, change.cache).inc()
    before = change.before
    previous = {"status": before.status, "reason": before.reason, "owner": before.owner} if before else None
    return web.json_response(change.after.as_json() | {"previous": previous, "cache": change.cache}, status=status)


def _names(request: web.Request) -> tuple[str, str]:
    environment, model = request.match_info["environment"], request.match_info["model"]
    entries.check_names(model, environment)
    return environment, model


def _caller(request: web.Request) -> str:
    return unquote(request.headers.get(CALLER_HEADER, ""))


async def _body(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise InputError("the body is no JSON object", where=request.path)
    return body


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{value!r} is no text", where=field, remedy="send a string")
    return value or ""


def _flag(body: dict[str, Any], field: str) -> bool:
    value = body.get(field, False)
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is neither true nor false", where=field, remedy="send true or false")
    return value
