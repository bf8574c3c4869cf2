"""SPDY/3.1 frames, and the tunnel that kubectl puts them into."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver.pod_streams import PodConnection, PortUnreachable
from cluster.embedded.apiserver.port_forward_spdy import SpdyTunnel
from cluster.embedded.apiserver.spdy import (
    DICTIONARY,
    MAX_FRAME_BYTES,
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

RECORDED_REPLIES = (
    "80 03 00 02 00 00 00 14 00 00 00 01 78 f9 e3 c6 a7 c2 62 60 60 60 00 00 00 00 ff ff"
    "80 03 00 02 00 00 00 0c 00 00 00 03 02 61 00 00 00 00 ff ff"
    "00 00 00 03 00 00 00 09 63 6f 64 65 20 32 30 30 0a 00 00 00 03 01 00 00 00"
)
"""What a kubelet answered to kubectl: both streams accepted, nine bytes, the end of the stream."""

_headers = st.dictionaries(st.text("abcdefgh-", min_size=1, max_size=10), st.text(max_size=30), max_size=5)
_streams = st.integers(1, 2**31 - 1)
_frames = st.one_of(
    st.builds(SynStream, _streams, _headers, st.booleans()),
    st.builds(SynReply, _streams, _headers),
    st.builds(Data, _streams, st.binary(max_size=200), st.booleans()),
    st.builds(Reset, _streams, st.integers(1, 11)),
    st.builds(Ping, st.integers(0, 2**32 - 1)),
    st.builds(GoAway, _streams),
)


def test_what_a_kubelet_sent_is_read() -> None:
    frames = list(Decoder().feed(bytes.fromhex(RECORDED_REPLIES)))
    assert frames == [SynReply(1), SynReply(3), Data(3, b"code 200\n"), Data(3, b"", True)]


@given(st.lists(_frames, max_size=8), st.integers(1, 50))
def test_frames_arrive_as_they_were_sent_however_they_are_cut(frames: list[Frame], size: int) -> None:
    encoder, decoder = Encoder(), Decoder()
    sent = b"".join(encoder.encode(frame) for frame in frames)
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == frames


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waited_for(garbage: bytes) -> None:
    decoder = Decoder()
    try:
        list(decoder.feed(garbage))
        list(decoder.feed(b"\x80\x03\x00\x01\x00\x00\x00\x0e" + garbage))
    except SpdyError:
        pass


def test_a_frame_that_is_too_long_is_not_waited_for() -> None:
    with pytest.raises(SpdyError, match="a frame of"):
        list(Decoder().feed(struct.pack(">II", 1, MAX_FRAME_BYTES + 1)))


def test_headers_that_swell_are_refused() -> None:
    packed = zlib.compressobj(zdict=DICTIONARY)
    block = packed.compress(b"\0" * 10_000_000) + packed.flush(zlib.Z_SYNC_FLUSH)
    frame = struct.pack(">HHI", 0x8003, 1, 10 + len(block)) + struct.pack(">IIBB", 1, 0, 0, 0) + block
    with pytest.raises(SpdyError, match="headers of more than"):
        list(Decoder().feed(frame))


async def converse(*frames: Frame, refuses: bool = False) -> list[Frame]:
    """What the server sends to a client that sends these frames and stays until it got an end of all it opened."""
    received: list[Frame] = []
    decoder, encoder, done = Decoder(), Encoder(), asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"<" + await reader.read() + b">")
        writer.close()

    async def connect(port: int) -> PodConnection:
        if refuses:
            raise PortUnreachable(f"nothing listens on {port}")
        return await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])

    async def send(data: bytes) -> None:
        received.extend(decoder.feed(data))
        ended = sum(isinstance(frame, Data) and frame.fin for frame in received)
        if ended == 2 or any(isinstance(frame, Reset | Ping) for frame in received):
            done.set()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"".join(encoder.encode(frame) for frame in frames)
        await asyncio.wait_for(done.wait(), 5)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        await SpdyTunnel(send, connect).run(chunks())
    return received


def opened(error: int, data: int, port: str = "80") -> list[Frame]:
    return [
        SynStream(error, {"streamtype": "error", "port": port, "requestid": "0"}),
        SynStream(data, {"streamtype": "data", "port": port, "requestid": "0"}),
    ]


def test_a_pair_of_streams_is_a_connection() -> None:
    received = asyncio.run(converse(*opened(1, 3), Data(3, b"hel"), Data(3, b"lo", fin=True)))
    assert received[:2] == [SynReply(1), SynReply(3)]
    assert b"".join(f.payload for f in received if isinstance(f, Data) and f.stream == 3) == b"<hello>"
    assert received[-2:] == [Data(3, b"", True), Data(1, b"", True)]


def test_the_error_stream_says_what_went_wrong() -> None:
    received = asyncio.run(converse(*opened(1, 3), Data(3, b"x" * 100), refuses=True))
    assert received[2:] == [Data(1, b"nothing listens on 80"), Data(3, b"", True), Data(1, b"", True)]


@pytest.mark.parametrize(
    "headers",
    [{}, {"streamtype": "data"}, {"streamtype": "other", "port": "1"}, {"streamtype": "data", "port": "70000"}],
)
def test_a_stream_for_nothing_is_reset(headers: dict[str, str]) -> None:
    assert asyncio.run(converse(SynStream(1, headers))) == [Reset(1, 1)]


def test_a_ping_is_answered() -> None:
    assert asyncio.run(converse(GoAway(), Reset(7), Data(9, b"?"), Ping(5))) == [Ping(5)]
