"""pods/log and pods/exec: what is checked before the node is asked, and the log stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.pod_streams import LogOptions, PodStreams
from cluster.embedded.apiserver.refusals import bad_request, invalid
from cluster.embedded.apiserver.responses import NO_CACHE
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.status import not_found
from cluster.embedded.apiserver.streams import OpenStreams
from cluster.embedded.apiserver.watch import is_true, number
from cluster.embedded.resources import NODES, PODS, Object

_HEADERS_AFTER_SECONDS = 0.5
STREAM_TIMEOUT_SECONDS = 4 * 3600


def container_of(pod: Object, wanted: str) -> str:
    """The container that a request means: the named, the annotated, or the only one. Raises ApiError 400."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    names = [c["name"] for c in spec.get("containers") or []]
    every = [*names, *(c["name"] for c in spec.get("initContainers") or [])]
    if wanted:
        if wanted not in every:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if default in names:
        return str(default)
    if len(names) != 1:
        choice = " ".join(names)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{choice}]")
    return str(names[0])


def node_of(adapter: Adapter, pod: Object) -> str:
    """The pod's node, empty when it has none yet. Raises ApiError 404 when there is no such node."""
    node = str((pod.get("spec") or {}).get("nodeName") or "")
    if node and not adapter.exists(NODES, None, node):
        raise not_found(PODS, node)  # the node's name in a message about pods: so says a real server
    return node


def log_options(query: Mapping[str, str], pod: str) -> LogOptions:
    """The query of a log request. Raises ApiError 400 or 422."""
    numbers = {key: number(query, key) for key in ("tailLines", "sinceSeconds", "limitBytes")}
    for key, value in numbers.items():
        least = 0 if key == "tailLines" else 1
        if value is not None and value < least:
            bound = f"must be greater than {'or equal to ' if least == 0 else ''}0"
            problem = f"Invalid value: {value}: {bound}"
            raise invalid("PodLogOptions", "", pod, key, "FieldValueInvalid", problem)
    return LogOptions(
        previous=is_true(query.get("previous")),
        follow=is_true(query.get("follow")),
        tail_lines=numbers["tailLines"],
        since_seconds=numbers["sinceSeconds"] or _seconds_since(query.get("sinceTime", "")),
        timestamps=is_true(query.get("timestamps")),
        limit_bytes=numbers["limitBytes"],
    )


def _seconds_since(timestamp: str) -> int | None:
    if not timestamp:
        return None
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        raise bad_request(f'parsing time "{timestamp}": not an RFC 3339 time') from None
    return max(1, int((datetime.now(UTC) - then.astimezone(UTC)).total_seconds()))


async def logs(
    request: web.BaseRequest,
    route: Route,
    adapter: Adapter,
    streams: PodStreams,
    open_streams: OpenStreams,
) -> web.StreamResponse:
    """GET of ``pods/log``. Raises ApiError before the first byte only."""
    pod = adapter.get(PODS, route.namespace, route.name)
    container = container_of(pod, request.query.get("container", ""))
    options = log_options(request.query, route.name)
    if not node_of(adapter, pod):
        return web.Response(status=204, headers=NO_CACHE)
    return await send_log(request, streams.logs(route.namespace or "", route.name, container, options), open_streams)


async def send_log(
    request: web.BaseRequest, log: AsyncIterator[bytes], open_streams: OpenStreams
) -> web.StreamResponse:
    """Answer with a log as it grows. Raises ApiError before the first byte only."""
    chunks = aiter(log)
    first = asyncio.ensure_future(_next(chunks))
    try:
        await asyncio.wait({first}, timeout=_HEADERS_AFTER_SECONDS)
        if first.done():
            first.result()
        return await _send(request, first, chunks, open_streams)
    finally:
        await _stop(first, chunks)


async def _send(
    request: web.BaseRequest,
    first: asyncio.Future[bytes | None],
    chunks: AsyncIterator[bytes],
    open_streams: OpenStreams,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**NO_CACHE, "Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async with open_streams.limit(STREAM_TIMEOUT_SECONDS):
        write, chunk = open_streams.writer(request, response), await first
        while chunk is not None:
            await write(chunk)
            chunk = await _next(chunks)
    await open_streams.finish(request, response)
    return response


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _stop(first: asyncio.Future[bytes | None], chunks: AsyncIterator[bytes]) -> None:
    if first.cancel():
        with suppress(asyncio.CancelledError):
            await first
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
