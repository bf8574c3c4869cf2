"""Passing a backend's answer on as it comes, and knowing how it ended.

A streamed answer fails after its status has been sent. The failure is then a connection that ends early, an error
object among the events, or a stream without its last event; clients must be able to notice, and so must the
metrics.
"""

from __future__ import annotations

import socket
import struct

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from services.api_router.refusals import Outcome, Refusal

BUFFERED_BYTES = 1 << 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "content-length", "server", "date"),
    }
)
# Statuses that a backend of ours gives to a request that the router has authenticated and routed: a model that
# the registry knows and the backend does not, or a backend that wants a key, is not the client's mistake.
NOT_THE_CLIENTS = frozenset({401, 403, 404, 408, 429})
_ERROR_EVENT = b'data: {"error"'
_LAST_EVENT = b"data: [DONE]"
_TAIL_BYTES = 64


class StreamWatch:
    """Follows a stream of server-sent events without keeping it."""

    def __init__(self) -> None:
        self._tail = b""
        self.failed = False

    def feed(self, chunk: bytes) -> None:
        """Looks at the next piece of the stream; pieces may end anywhere."""
        seen = self._tail + chunk
        self.failed = self.failed or _ERROR_EVENT in seen
        self._tail = seen[-_TAIL_BYTES:]

    @property
    def finished(self) -> bool:
        """The last event has come."""
        return self._tail.rstrip().endswith(_LAST_EVENT)

    @property
    def outcome(self) -> Outcome:
        """What became of a stream that has ended in good order."""
        if self.failed:
            return "error"
        return "success" if self.finished else "stream_cut"


def answer_outcome(status: int) -> Outcome:
    """What an answer below 500 with this status means."""
    if status < 400:
        return "success"
    return "error" if status in NOT_THE_CLIENTS else "client_error"


def end_to_end_headers(upstream: aiohttp.ClientResponse) -> CIMultiDict[str]:
    """The backend's headers that are meant for the client."""
    named = frozenset(name.strip().lower() for name in upstream.headers.get("Connection", "").split(","))
    return CIMultiDict(
        (name, value) for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP | named
    )


def is_stream(upstream: aiohttp.ClientResponse) -> bool:
    """The backend answers with events, or with more than is worth holding back."""
    length = upstream.content_length
    return upstream.content_type == "text/event-stream" or (length is not None and length > BUFFERED_BYTES)


async def read_whole(upstream: aiohttp.ClientResponse) -> bytes:
    """The body of an answer that is sent in one piece.

    Raises:
        Refusal: it does not come whole; nothing has been sent to the client yet.
    """
    try:
        return await upstream.read()
    except TimeoutError:
        raise Refusal("BACKEND_TIMEOUT", "the backend stopped in the middle of its answer") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Refusal("BACKEND_ERROR", f"the backend broke off its answer: {type(error).__name__}") from error


async def pass_stream(request: web.Request, response: web.StreamResponse, upstream: aiohttp.ClientResponse) -> Outcome:
    """Sends the backend's body to the client, piece by piece as it comes.

    When the backend breaks off, the client's connection is closed without the end marker of the body, so that no
    client takes the part for the whole.

    Raises:
        ConnectionResetError: the client has left.
    """
    events = StreamWatch() if upstream.content_type == "text/event-stream" else None
    await response.prepare(request)
    while True:
        try:
            chunk = await upstream.content.readany()
        except (aiohttp.ClientError, OSError):
            _break_off(request)
            return "stream_cut"
        if not chunk:
            break
        if events:
            events.feed(chunk)
        await response.write(chunk)
    await response.write_eof()
    return events.outcome if events else answer_outcome(upstream.status)


def _break_off(request: web.Request) -> None:
    """Closes the client's connection after what has been sent, without the end marker of the body.

    HTTP/1.0 has no such marker and takes every close for a good end; there the connection is reset.
    """
    transport = request.transport
    if transport is None:
        return
    if request.version >= aiohttp.HttpVersion11:
        transport.close()
        return
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
