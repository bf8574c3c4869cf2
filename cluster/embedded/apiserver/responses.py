"""HTTP responses as a Kubernetes API server writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from aiohttp import web

from cluster.embedded.apiserver.gotext import go_quote
from cluster.embedded.client import ApiError

ITEMS_AT_ONCE = 200
"""A longer list is written in parts of this many items: about 1 MB, and a few milliseconds, of pods."""
NO_CACHE = {"Cache-Control": "no-cache, private"}


def json_response(body: Any, status: int = 200, *, pretty: bool = False, warnings: Sequence[str] = ()) -> web.Response:
    """A JSON body, and a Warning header (code 299) for each warning."""
    data = orjson.dumps(body, option=orjson.OPT_INDENT_2 if pretty else None)
    response = web.Response(body=data, status=status, content_type="application/json", headers=NO_CACHE)
    for warning in warnings:
        response.headers.add("Warning", f"299 - {go_quote(warning)}")
    return response


def list_response(envelope: Any, items: Sequence[Any]) -> web.Response:
    """The JSON of a long list, written part by part, so that others are served between the parts.

    Args:
        envelope: the list with ``items`` last and empty.
        items: what belongs there; nobody may change it until it is sent.
    """
    return web.Response(body=_parts(envelope, items), content_type="application/json", headers=NO_CACHE)


async def _parts(envelope: Any, items: Sequence[Any]) -> AsyncIterator[bytes]:
    head, tail = orjson.dumps(envelope)[:-2], b"]}"
    for start in range(0, len(items), ITEMS_AT_ONCE):
        yield head + orjson.dumps(items[start : start + ITEMS_AT_ONCE])[1:-1]
        head = b","
        await asyncio.sleep(0)  # writing suspends only when the client reads slowly
    yield tail if items else head + tail


def text_response(text: str, status: int = 200) -> web.Response:
    """A plain-text body."""
    return web.Response(text=text, status=status, headers=NO_CACHE)


def error_response(error: ApiError, *, warnings: Sequence[str] = ()) -> web.Response:
    """The Status of a refusal, with Retry-After where the Status says so."""
    response = json_response(error.status, error.code, warnings=warnings)
    retry = (error.status.get("details") or {}).get("retryAfterSeconds")
    if retry:
        response.headers["Retry-After"] = str(retry)
    return response


def success(details: dict[str, Any] | None = None, *, code: int = 0) -> dict[str, Any]:
    """A Status of success."""
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        body["details"] = details
    if code:
        body["code"] = code
    return body
