"""The part of SPDY/3.1 framing that carries port-forwarding. Pure: bytes in, frames out, and the other way round.

Source: the SPDY protocol, draft 3.1 (chromium.org/spdy), sections 2.2 (frames) and 2.6.10 (header blocks). Flow control
is left out, as the SPDY library of Kubernetes does: WINDOW_UPDATE and SETTINGS are read over, none are sent.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

MAX_FRAME_BYTES = 1 << 20
MAX_HEADER_BYTES = 64 * 1024
PROTOCOL_ERROR, REFUSED_STREAM = 1, 3

_VERSION = 3
_FIN = 0x01
_HEAD_BYTES = 8

_NAMES = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin
"""
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0."
)


def _sized(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">I", len(encoded)) + encoded


DICTIONARY = b"".join(_sized(name.replace("_", " ")) for name in _NAMES.split()) + _TEXT.encode()
"""What the compression of header blocks begins with on both sides."""


class _Kind(IntEnum):
    """The types of control frames that mean something here."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8


class SpdyError(Exception):
    """The other side does not speak SPDY/3.1, or sends more than is read."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """A stream is opened. Names of headers are in lower case."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """A stream is accepted."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; with ``fin`` the sender's last."""

    stream: int
    payload: bytes = b""
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream is given up in both directions."""

    stream: int
    status: int = PROTOCOL_ERROR


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back as it is."""

    identity: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """No more streams will be opened."""

    last_stream: int = 0


Frame = SynStream | SynReply | Data | Reset | Ping | GoAway


class Decoder:
    """Takes bytes as they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= _HEAD_BYTES:
            word, flags_and_length = struct.unpack_from(">II", self._buffer)
            flags, length = flags_and_length >> 24, flags_and_length & 0xFFFFFF
            if length > MAX_FRAME_BYTES:
                raise SpdyError(f"a frame of {length} bytes is more than {MAX_FRAME_BYTES}")
            if len(self._buffer) < _HEAD_BYTES + length:
                return
            body = bytes(self._buffer[_HEAD_BYTES : _HEAD_BYTES + length])
            del self._buffer[: _HEAD_BYTES + length]
            frame = self._control(word, flags, body) if word >> 31 else Data(word, body, bool(flags & _FIN))
            if frame is not None:
                yield frame

    def _control(self, word: int, flags: int, body: bytes) -> Frame | None:
        if (word >> 16) & 0x7FFF != _VERSION:
            raise SpdyError("not SPDY version 3")
        try:
            return self._control_frame(word & 0xFFFF, flags, body)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"malformed frame: {error}") from None

    def _control_frame(self, kind: int, flags: int, body: bytes) -> Frame | None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        match kind:
            case _Kind.SYN_STREAM:
                return SynStream(number, self._headers(body[10:]), bool(flags & _FIN))
            case _Kind.SYN_REPLY:
                return SynReply(number, self._headers(body[4:]))
            case _Kind.RST_STREAM:
                return Reset(number, struct.unpack_from(">I", body, 4)[0])
            case _Kind.PING:
                return Ping(struct.unpack(">I", body)[0])
            case _Kind.GOAWAY:
                return GoAway(number)
            case _Kind.HEADERS:
                self._headers(body[4:])  # they advance the shared compression, whoever reads them
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block, MAX_HEADER_BYTES)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {MAX_HEADER_BYTES} bytes")
        words, offset = [], 4
        for _ in range(2 * min(struct.unpack_from(">I", raw)[0], MAX_HEADER_BYTES)):
            (size,) = struct.unpack_from(">I", raw, offset)
            words.append(raw[offset + 4 : offset + 4 + size].decode())
            offset += 4 + size
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}


class Encoder:
    """Frames of one direction of a connection, in the order in which they are sent."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        """One frame. A payload must not be longer than ``MAX_FRAME_BYTES``."""
        match frame:
            case Data(stream, payload, fin):
                return struct.pack(">II", stream, (_FIN if fin else 0) << 24 | len(payload)) + payload
            case SynStream(stream, headers, fin):
                head = struct.pack(">IIBB", stream, 0, 0, 0)
                return _control(_Kind.SYN_STREAM, head + self._block(headers), _FIN if fin else 0)
            case SynReply(stream, headers):
                return _control(_Kind.SYN_REPLY, struct.pack(">I", stream) + self._block(headers))
            case Reset(stream, status):
                return _control(_Kind.RST_STREAM, struct.pack(">II", stream, status))
            case Ping(identity):
                return _control(_Kind.PING, struct.pack(">I", identity))
            case GoAway(last_stream):
                return _control(_Kind.GOAWAY, struct.pack(">II", last_stream, 0))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        pairs = b"".join(_sized(name) + _sized(value) for name, value in headers.items())
        raw = struct.pack(">I", len(headers)) + pairs
        return self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 1 << 15 | _VERSION, kind, flags << 24 | len(body)) + body
