"""Port-forwarding as kubectl speaks it: SPDY/3.1 frames inside the binary messages of a WebSocket.

Each forwarded connection is a pair of streams that the client opens, tied together by the header ``requestid``: an
``error`` stream, on which the server writes text when forwarding fails, and a ``data`` stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from cluster.embedded.apiserver.forwarding import Connect, Forwarding, Send
from cluster.embedded.apiserver.spdy import (
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Ping,
    Reset,
    SpdyError,
    SynReply,
    SynStream,
)

_MOST_STREAMS = 2048


@dataclass(slots=True)
class _Pair:
    """The streams of one forwarded connection, as far as the client has opened them."""

    port: int
    error: int = 0
    data: int = 0
    forwarding: Forwarding | None = None
    task: asyncio.Task[None] | None = None

    @property
    def streams(self) -> set[int]:
        return {self.error, self.data} - {0}


class SpdyTunnel:
    """One client's connection.

    Args:
        send: sends bytes to the client; waits while the client does not read.
        connect: connects to a port of the pod.
    """

    def __init__(self, send: Send, connect: Connect) -> None:
        self._send_bytes = send
        self._connect = connect
        self._decoder, self._encoder = Decoder(), Encoder()
        self._pairs: dict[str, _Pair] = {}
        self._by_stream: dict[int, _Pair] = {}

    async def run(self, chunks: AsyncIterator[bytes]) -> None:
        """Serve until the client leaves, or sends what is not SPDY."""
        try:
            with suppress(SpdyError, ConnectionError):
                async for chunk in chunks:
                    for frame in self._decoder.feed(chunk):
                        await self._handle(frame)
        finally:
            tasks = {pair.task for pair in self._by_stream.values() if pair.task}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, frame: Frame) -> None:
        match frame:
            case SynStream():
                await self._open(frame)
            case Data(stream, payload, fin):
                await self._receive(stream, payload, fin=fin)
            case Reset(stream):
                self._give_up(stream)
            case Ping():
                await self._send(frame)
            case GoAway() | SynReply():
                pass  # the client opens no more streams, or answers one that nobody opened: neither changes anything

    async def _open(self, frame: SynStream) -> None:
        kind, port = frame.headers.get("streamtype", ""), frame.headers.get("port", "")
        if frame.stream in self._by_stream or kind not in ("error", "data") or not _is_port(port):
            await self._send(Reset(frame.stream, PROTOCOL_ERROR))
        elif len(self._by_stream) >= _MOST_STREAMS:
            await self._send(Reset(frame.stream, REFUSED_STREAM))
        else:
            pair = self._pairs.setdefault(frame.headers.get("requestid", port), _Pair(int(port)))
            setattr(pair, kind, frame.stream)
            self._by_stream[frame.stream] = pair
            await self._send(SynReply(frame.stream))
            self._begin(pair)

    def _begin(self, pair: _Pair) -> None:
        if pair.error and pair.data and pair.task is None:
            pair.forwarding = Forwarding(pair.port, self._connect)
            pair.task = asyncio.create_task(self._forward(pair, pair.forwarding))

    async def _receive(self, stream: int, payload: bytes, *, fin: bool) -> None:
        pair = self._by_stream.get(stream)
        if pair is None or stream != pair.data or pair.forwarding is None:
            return
        if payload:
            await pair.forwarding.put(payload)
        if fin:
            await pair.forwarding.put(None)

    def _give_up(self, stream: int) -> None:
        pair = self._by_stream.get(stream)
        if pair is None or stream != pair.data:
            return
        if pair.task:
            pair.task.cancel()
        self._forget(pair)

    async def _forward(self, pair: _Pair, forwarding: Forwarding) -> None:
        async def send(data: bytes) -> None:
            await self._send(Data(pair.data, data))

        with suppress(ConnectionError):
            problem = await forwarding.run(send)
            if problem:
                await self._send(Data(pair.error, problem.encode()))
            await self._send(Data(pair.data, fin=True))
            await self._send(Data(pair.error, fin=True))
        self._forget(pair)

    def _forget(self, pair: _Pair) -> None:
        for stream in pair.streams:
            self._by_stream.pop(stream, None)
        self._pairs = {key: other for key, other in self._pairs.items() if other is not pair}

    async def _send(self, frame: Frame) -> None:
        await self._send_bytes(self._encoder.encode(frame))


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65536
