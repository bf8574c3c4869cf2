"""Asks a node for logs, commands and ports as kube-apiserver does: over HTTPS with a certificate, upgraded to SPDY."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import aiohttp
import orjson

from cluster.embedded.apiserver.pod_streams import ExecSession, LogOptions, PodConnection, PortUnreachable
from cluster.embedded.apiserver.spdy import Data, Decoder, Encoder, Frame, SynStream
from cluster.embedded.apiserver.status import failure
from cluster.embedded.client import ApiError
from cluster.embedded.resources import NODES, PODS, Object, Resource

STDOUT, STDERR = 1, 2
Lookup = Callable[[Resource, str, str], Object]
"""(resource, namespace, name) -> object"""


@dataclass(frozen=True)
class KubeletStreams:
    """A ``PodStreams`` over the network."""

    look_up: Lookup
    tls: ssl.SSLContext

    async def reach(self, namespace: str, pod: str) -> None:
        self._node(namespace, pod)

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        host, port = self._node(namespace, pod)
        named = {
            "follow": options.follow and "true",
            "previous": options.previous and "true",
            "tailLines": options.tail_lines,
            "sinceSeconds": options.since_seconds,
            "limitBytes": options.limit_bytes,
            "timestamps": options.timestamps and "true",
        }
        query = {key: str(value) for key, value in named.items() if value not in (False, None)}
        url = f"https://{host}:{port}/containerLogs/{namespace}/{pod}/{container}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.get(url, params=query, ssl=self.tls) as response,
        ):
            if response.status >= 400:
                raise failure(response.status, "BadRequest", await response.text())
            async for chunk in response.content.iter_any():
                yield chunk

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        path = f"/exec/{namespace}/{pod}/{container}"
        return await self._command(namespace, pod, path, [("command", word) for word in command], stdin=stdin, tty=tty)

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        return await self._command(namespace, pod, f"/attach/{namespace}/{pod}/{container}", [], stdin=stdin, tty=False)

    async def connect(self, namespace: str, pod: str, port: int) -> PodConnection:
        """A socket pair: one end is the caller's, the other is carried over SPDY."""
        connection = await Spdy.open(
            self._node(namespace, pod), self.tls, f"/portForward/{namespace}/{pod}", "portforward.k8s.io"
        )
        pair = {"port": str(port), "requestid": "0"}
        errors = await connection.stream({"streamtype": "error", **pair})
        data = await connection.stream({"streamtype": "data", **pair})
        return await _Bridge.connect(connection, data, errors)

    async def _command(
        self, namespace: str, pod: str, path: str, query: list[tuple[str, str]], *, stdin: bool, tty: bool
    ) -> ExecSession:
        wanted = {"input": stdin, "output": True, "error": not tty, "tty": tty}
        query = [*query, *((key, "1") for key, is_wanted in wanted.items() if is_wanted)]
        target = f"{path}?{urlencode(query, quote_via=quote)}"
        connection = await Spdy.open(self._node(namespace, pod), self.tls, target, "v4.channel.k8s.io")
        kinds = {"error": True, "stdin": stdin, "stdout": True, "stderr": not tty, "resize": tty}
        streams = {kind: await connection.stream({"streamtype": kind}) for kind, is_open in kinds.items() if is_open}
        return RemoteCommand(connection, streams)

    def _node(self, namespace: str, pod: str) -> tuple[str, int]:
        found = self.look_up(PODS, namespace, pod)
        status = self.look_up(NODES, "", found["spec"]["nodeName"])["status"]
        address = next(each["address"] for each in status["addresses"] if each["type"] == "InternalIP")
        return address, status["daemonEndpoints"]["kubeletEndpoint"]["Port"]


class Spdy:
    """The client's side of an upgraded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._decoder, self._encoder = Decoder(), Encoder()
        self._next = 1

    @classmethod
    async def open(cls, node: tuple[str, int], tls: ssl.SSLContext, target: str, protocol: str) -> Spdy:
        reader, writer = await asyncio.open_connection(*node, ssl=tls)
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {node[0]}:{node[1]}",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            f"X-Stream-Protocol-Version: {protocol}",
            "Content-Length: 0",
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        if status != 101:
            size = next((int(line.split()[1]) for line in head.split("\r\n") if line.startswith("Content-Length")), 0)
            text = (await reader.readexactly(size)).decode()
            writer.close()
            raise failure(status, "BadRequest", text)
        assert f"X-Stream-Protocol-Version: {protocol}".lower() in head.lower()
        return cls(reader, writer)

    async def stream(self, headers: Mapping[str, str]) -> int:
        number, self._next = self._next, self._next + 2
        await self.send(SynStream(number, headers))
        return number

    async def send(self, frame: Frame) -> None:
        self.writer.write(self._encoder.encode(frame))
        await self.writer.drain()

    async def frames(self) -> AsyncIterator[Frame]:
        while chunk := await self._reader.read(65536):
            for frame in self._decoder.feed(chunk):
                yield frame


class RemoteCommand:
    """An ``ExecSession`` at the far end of a connection."""

    def __init__(self, connection: Spdy, streams: Mapping[str, int]) -> None:
        self._connection, self._streams = connection, streams
        self._status: asyncio.Future[Object] = asyncio.get_running_loop().create_future()

    async def write_stdin(self, data: bytes) -> None:
        await self._connection.send(Data(self._streams["stdin"], data))

    async def close_stdin(self) -> None:
        await self._connection.send(Data(self._streams["stdin"], fin=True))

    async def resize(self, columns: int, rows: int) -> None:
        size = orjson.dumps({"Width": columns, "Height": rows}) + b"\n"
        await self._connection.send(Data(self._streams["resize"], size))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        channels = {self._streams.get("stdout"): STDOUT, self._streams.get("stderr"): STDERR}
        async for frame in self._connection.frames():
            if not isinstance(frame, Data) or not frame.payload:
                continue
            if frame.stream == self._streams["error"]:
                self._status.set_result(orjson.loads(frame.payload))
            elif frame.stream in channels:
                yield channels[frame.stream], frame.payload

    async def wait(self) -> int:
        status = await self._status
        if status.get("status") == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            return int(status["details"]["causes"][0]["message"])
        raise ApiError({**status, "message": str(status.get("message")).removeprefix("Internal error occurred: ")})

    async def kill(self) -> None:
        self._connection.writer.close()


class _Bridge:
    """Carries bytes between a data stream and one end of a socket pair."""

    @classmethod
    async def connect(cls, connection: Spdy, data: int, errors: int) -> PodConnection:
        first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server_side: asyncio.Future[PodConnection] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda *pair: server_side.set_result(pair), "127.0.0.1", 0)
        ours = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        reader, writer = await server_side
        server.close()
        asyncio.get_running_loop().bridges = [  # type: ignore[attr-defined]
            *getattr(asyncio.get_running_loop(), "bridges", []),
            asyncio.create_task(cls._down(connection, data, errors, writer, first)),
            asyncio.create_task(cls._up(connection, data, reader)),
        ]
        with suppress(TimeoutError):
            problem = await asyncio.wait_for(asyncio.shield(first), 0.3)
            if problem:
                raise PortUnreachable(problem)
        return ours

    @staticmethod
    async def _down(
        connection: Spdy, data: int, errors: int, writer: asyncio.StreamWriter, first: asyncio.Future[str]
    ) -> None:
        async for frame in connection.frames():
            if not isinstance(frame, Data):
                continue
            if frame.payload and not first.done():
                first.set_result(frame.payload.decode() if frame.stream == errors else "")
            if frame.stream == data and frame.payload:
                writer.write(frame.payload)
            if frame.stream == data and frame.fin:
                break
        writer.close()

    @staticmethod
    async def _up(connection: Spdy, data: int, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(32768):
                await connection.send(Data(data, chunk))
            await connection.send(Data(data, fin=True))
