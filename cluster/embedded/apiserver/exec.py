"""pods/exec and pods/attach over WebSocket, in the channel protocols v4 and v5 of Kubernetes.

Every message begins with a channel byte: 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 terminal size; in v5,
255 closes the channel named by the next byte. Clients that only speak SPDY are told that an upgrade is required.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson
from aiohttp import WSMessage, WSMsgType, web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.pod_access import STREAM_TIMEOUT_SECONDS, container_of, node_of
from cluster.embedded.apiserver.pod_streams import ExecSession, PodStreams
from cluster.embedded.apiserver.refusals import bad_request
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.streams import OpenStreams
from cluster.embedded.apiserver.watch import is_true
from cluster.embedded.client import ApiError
from cluster.embedded.resources import PODS, Object

log = logging.getLogger(__name__)

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_CLOSE_SECONDS = 1.0
Start = Callable[[], Awaitable[ExecSession]]
"""Starts a command or an attachment. Raises ApiError."""
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


async def handle(
    request: web.BaseRequest,
    route: Route,
    adapter: Adapter,
    streams: PodStreams,
    open_streams: OpenStreams,
) -> web.StreamResponse:
    """GET (or POST) of ``pods/exec`` or ``pods/attach``. Raises ApiError; after the upgrade, errors go to channel 3."""
    pod = adapter.get(PODS, route.namespace, route.name)
    container = container_of(pod, request.query.get("container", ""))
    if not node_of(adapter, pod):
        raise bad_request(f"pod {route.name} does not have a host assigned")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        if request.headers.get("Upgrade"):
            await streams.reach(route.namespace or "", route.name)
        raise bad_request("Upgrade request required")
    command = request.query.getall("command", [])
    if not command and route.subresource == "exec":
        raise bad_request("you must specify at least 1 command for the container")

    async def start() -> ExecSession:
        return await _session(request, route, streams, container, command)

    return await serve_websocket(request, start, _wanted_outputs(request), open_streams)


async def serve_websocket(
    request: web.BaseRequest, start: Start, wanted: set[int], open_streams: OpenStreams
) -> web.StreamResponse:
    """Upgrade, start the command, and carry its streams until it ends; ``wanted`` are the channels of its output."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, timeout=_CLOSE_SECONDS)
    await socket.prepare(request)
    await socket.send_bytes(bytes([min(wanted, default=ERROR)]))  # tells the client that it is connected
    try:
        session = await start()
    except ApiError as error:
        await _finish(socket, internal_error(error))
        return socket
    async with open_streams.limit(STREAM_TIMEOUT_SECONDS):
        await _converse(socket, session, wanted=wanted)
    return socket


async def _session(
    request: web.BaseRequest, route: Route, streams: PodStreams, container: str, command: list[str]
) -> ExecSession:
    namespace = route.namespace or ""
    stdin, tty = is_true(request.query.get("stdin")), is_true(request.query.get("tty"))
    if route.subresource == "attach":
        return await streams.attach(namespace, route.name, container, stdin=stdin)
    return await streams.exec(namespace, route.name, container, command, stdin=stdin, tty=tty)


def _wanted_outputs(request: web.BaseRequest) -> set[int]:
    named = {STDOUT: "stdout", STDERR: "stderr"}
    return {channel for channel, name in named.items() if is_true(request.query.get(name))}


async def _converse(socket: web.WebSocketResponse, session: ExecSession, *, wanted: set[int]) -> None:
    """Carry stdin in and output out until the command ends. A client that leaves ends the command."""
    reader = asyncio.create_task(_read(socket, session))
    work = asyncio.create_task(_work(socket, session, wanted))
    try:
        await asyncio.wait({reader, work}, return_when=asyncio.FIRST_COMPLETED)
        if work.done() or not socket.closed:
            await work
    except ConnectionError:
        log.debug("exec client went away")
    except Exception:
        log.exception("exec failed")
    finally:
        reader.cancel()
        if not work.done() or work.cancelled() or work.exception():
            work.cancel()
            await session.kill()
        with suppress(asyncio.CancelledError, ConnectionError):
            await reader
        await socket.close()


async def _work(socket: web.WebSocketResponse, session: ExecSession, wanted: set[int]) -> None:
    try:
        async for channel, data in session.output():
            if channel in wanted and data:
                await socket.send_bytes(bytes([channel]) + data)
        status = exit_status(await session.wait())
    except ApiError as error:
        status = internal_error(error)
    await _finish(socket, status)


async def _read(socket: web.WebSocketResponse, session: ExecSession) -> None:
    """Feed stdin until the client closes the connection."""
    async for message in socket:
        data = _payload(message)
        if not data:
            continue
        channel, rest = data[0], data[1:]
        with suppress(ConnectionError):
            if channel == STDIN and rest:
                await session.write_stdin(rest)
            elif channel == RESIZE:
                await resize_terminal(session, rest)
            elif channel == CLOSE and rest[:1] == bytes([STDIN]):
                await session.close_stdin()


async def resize_terminal(session: ExecSession, message: bytes) -> None:
    """Sizes that make no sense are ignored, as a kubelet does."""
    with suppress(ValueError, TypeError, KeyError):
        size = orjson.loads(message)
        columns, rows = int(size["Width"]), int(size["Height"])
        if 0 < columns < 65536 and 0 < rows < 65536:
            await session.resize(columns, rows)


def _payload(message: WSMessage) -> bytes:
    if message.type is WSMsgType.BINARY:
        return bytes(message.data)
    return str(message.data).encode() if message.type is WSMsgType.TEXT else b""


async def _finish(socket: web.WebSocketResponse, status: Object) -> None:
    await socket.send_bytes(bytes([ERROR]) + orjson.dumps(status))
    await socket.close()


def exit_status(code: int) -> Object:
    """The Status of an ended command."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: command terminated with exit code {code}"
    causes = [{"reason": "ExitCode", "message": str(code)}]
    status = failure(500, "NonZeroExitCode", message, {"causes": causes}).status
    del status["code"]
    return status


def internal_error(error: ApiError) -> Object:
    """The Status of a command that could not be run."""
    message = str(error)
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
