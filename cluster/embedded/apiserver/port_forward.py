"""pods/portforward over WebSocket.

kubectl tunnels SPDY (``SPDY/3.1+portforward.k8s.io``). The clients of other languages use ``v4.channel.k8s.io``: the
query names the ports, port number I has the channels 2*I (data) and 2*I+1 (errors), a message begins with its channel,
and the first message of each channel from the server is the port in two bytes, the low one first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import WSMsgType, web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.forwarding import Connect, Forwarding
from cluster.embedded.apiserver.pod_access import STREAM_TIMEOUT_SECONDS, node_of
from cluster.embedded.apiserver.pod_streams import PodConnection, PodStreams
from cluster.embedded.apiserver.port_forward_spdy import SpdyTunnel
from cluster.embedded.apiserver.refusals import bad_request
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.streams import OpenStreams
from cluster.embedded.resources import PODS

SPDY_TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = "v4.channel.k8s.io"
_CLOSE_SECONDS = 1.0
_MOST_MESSAGE_BYTES = 16 * 1024 * 1024
_MOST_PORTS = 100


async def handle(
    request: web.BaseRequest,
    route: Route,
    adapter: Adapter,
    streams: PodStreams,
    open_streams: OpenStreams,
) -> web.StreamResponse:
    """GET (or POST) of ``pods/portforward``. Raises ApiError before the upgrade."""
    pod = adapter.get(PODS, route.namespace, route.name)
    if not node_of(adapter, pod):
        raise bad_request(f"pod {route.name} does not have a host assigned")
    if request.headers.get("Upgrade"):
        await streams.reach(route.namespace or "", route.name)
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("Upgrade request required")
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    ports = [] if SPDY_TUNNEL in offered else ports_of(request)

    async def connect(port: int) -> PodConnection:
        return await streams.connect(route.namespace or "", route.name, port)

    socket = web.WebSocketResponse(
        protocols=(SPDY_TUNNEL, CHANNELS), max_msg_size=_MOST_MESSAGE_BYTES, timeout=_CLOSE_SECONDS
    )
    await socket.prepare(request)
    async with open_streams.limit(STREAM_TIMEOUT_SECONDS):
        if ports:
            await serve_channels(socket, ports, connect)
        else:
            await SpdyTunnel(socket.send_bytes, connect).run(_binary(socket))
    with suppress(ConnectionError):
        await socket.close()
    return socket


def ports_of(request: web.BaseRequest, key: str = "ports") -> list[int]:
    """The ports of the query. Raises ApiError 400."""
    named = [text for value in request.query.getall(key, []) for text in value.split(",") if text]
    if not named:
        raise bad_request('query parameter "port" is required')
    if len(named) > _MOST_PORTS:
        raise bad_request(f"more than {_MOST_PORTS} ports")
    for text in named:
        if not (text.isdecimal() and 0 < int(text) < 65536):
            raise bad_request(f'unable to parse "{text}" as a port')
    return [int(text) for text in named]


async def serve_channels(socket: web.WebSocketResponse, ports: list[int], connect: Connect) -> None:
    """Forward until every pod connection has ended or the client has left."""
    forwardings = [Forwarding(port, connect) for port in ports]
    with suppress(ConnectionError):
        for channel in range(2 * len(ports)):
            await socket.send_bytes(bytes([channel]) + ports[channel // 2].to_bytes(2, "little"))
    work = asyncio.create_task(_forward_all(socket, forwardings))
    reader = asyncio.create_task(_read(socket, forwardings))
    try:
        await asyncio.wait({reader, work}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (work, reader):
            task.cancel()
        await asyncio.gather(work, reader, return_exceptions=True)


async def _forward_all(socket: web.WebSocketResponse, forwardings: list[Forwarding]) -> None:
    await asyncio.gather(*(_forward(socket, 2 * index, each) for index, each in enumerate(forwardings)))


async def _forward(socket: web.WebSocketResponse, channel: int, forwarding: Forwarding) -> None:
    async def send(data: bytes) -> None:
        await socket.send_bytes(bytes([channel]) + data)

    with suppress(ConnectionError):
        problem = await forwarding.run(send)
        if problem:
            await socket.send_bytes(bytes([channel + 1]) + problem.encode())


async def _read(socket: web.WebSocketResponse, forwardings: list[Forwarding]) -> None:
    async for message in _binary(socket):
        index, is_error = divmod(message[0], 2) if message else (len(forwardings), 0)
        if index < len(forwardings) and not is_error and len(message) > 1:
            await forwardings[index].put(message[1:])


async def _binary(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    """Binary messages until the client closes."""
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            yield bytes(message.data)
