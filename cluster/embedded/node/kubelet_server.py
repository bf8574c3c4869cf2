"""The HTTPS endpoint of a node, where an API server gets logs, commands and ports of pods: a kubelet's, port 10250.

Paths and queries are those that kube-apiserver sends to ``status.daemonEndpoints.kubeletEndpoint`` of a node. Only the
API server is let in, by its client certificate (kubernetes.io, "Kubelet authentication/authorization").
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from aiohttp import web

from cluster.embedded.apiserver.exec import serve_websocket
from cluster.embedded.apiserver.pod_access import STREAM_TIMEOUT_SECONDS, log_options, send_log
from cluster.embedded.apiserver.pod_streams import STDERR, STDOUT, ExecSession, PodConnection, PodStreams
from cluster.embedded.apiserver.port_forward import CHANNELS, ports_of, serve_channels
from cluster.embedded.apiserver.port_forward_spdy import SpdyTunnel
from cluster.embedded.apiserver.streams import OpenStreams
from cluster.embedded.apiserver.tls import TlsFiles
from cluster.embedded.apiserver.watch import is_true
from cluster.embedded.client import ApiError
from cluster.embedded.node.remote_command_spdy import SpdyCommand
from cluster.embedded.node.upgrade import UpgradedConnection

SPDY = "SPDY/3.1"
COMMAND_PROTOCOL, PORT_FORWARD_PROTOCOL = "v4.channel.k8s.io", "portforward.k8s.io"
_PROTOCOL_HEADER = "X-Stream-Protocol-Version"
_SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Target:
    namespace: str
    pod: str
    container: str


class KubeletServer:
    """Serves the pods of one node.

    Args:
        tls: the node's certificate.
        client_ca_pem: who issues the certificates of clients.
        client_name: the common name of the one client that is let in.
    """

    def __init__(self, tls: TlsFiles, client_ca_pem: str, client_name: str) -> None:
        self._tls, self._client_ca_pem, self._client_name = tls, client_ca_pem, client_name
        self._pods: PodStreams | None = None
        self._open_streams = OpenStreams()
        self._runner: web.ServerRunner | None = None

    async def start(self, address: str) -> int:
        """Listen at a free port; returns it. Raises OSError."""
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        context = self._tls.context()
        context.load_verify_locations(cadata=self._client_ca_pem)
        context.verify_mode = ssl.CERT_REQUIRED
        await web.TCPSite(self._runner, address, 0, ssl_context=context).start()
        port: int = self._runner.addresses[0][1]
        return port

    def serve(self, pods: PodStreams) -> None:
        """Begin to answer for the pods of the node."""
        self._pods = pods

    async def stop(self) -> None:
        """End all streams, then close."""
        self._open_streams.end_all()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if not self._is_let_in(request):
                return web.Response(status=403, text="Forbidden")
            return await self._answer(request)
        except ApiError as error:
            # A kubelet answers with text; the API server makes a Status of it for its client.
            return web.Response(status=error.code, text=str(error))

    def _is_let_in(self, request: web.BaseRequest) -> bool:
        certificate = request.get_extra_info("peercert") or {}
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
        return names == [self._client_name]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._pods is None:
            return web.Response(status=503, text="the node is starting")
        match tuple(part for part in request.path.split("/") if part):
            case ("healthz",):
                return web.Response(text="ok")
            case ("containerLogs", namespace, pod, container):
                return await self._logs(request, self._pods, _Target(namespace, pod, container))
            case ("exec" | "attach" as verb, namespace, pod, *uid, container) if len(uid) <= 1:
                return await self._command(request, self._pods, verb, _Target(namespace, pod, container))
            case ("portForward", namespace, pod, *uid) if len(uid) <= 1:
                return await self._forward(request, self._pods, _Target(namespace, pod, ""))
        return web.Response(status=404, text="404 page not found\n")

    async def _logs(self, request: web.BaseRequest, pods: PodStreams, target: _Target) -> web.StreamResponse:
        options = log_options(request.query, target.pod)
        log = pods.logs(target.namespace, target.pod, target.container, options)
        return await send_log(request, log, self._open_streams)

    async def _command(
        self, request: web.BaseRequest, pods: PodStreams, verb: str, target: _Target
    ) -> web.StreamResponse:
        query = request.query
        stdin, tty = is_true(query.get("input")), is_true(query.get("tty"))
        outputs = {"stdout": is_true(query.get("output")), "stderr": is_true(query.get("error")) and not tty}

        async def start() -> ExecSession:
            if verb == "attach":
                return await pods.attach(target.namespace, target.pod, target.container, stdin=stdin)
            command = query.getall("command", [])
            return await pods.exec(target.namespace, target.pod, target.container, command, stdin=stdin, tty=tty)

        match request.headers.get("Upgrade", "").lower():
            case "websocket":
                channels = {STDOUT: outputs["stdout"], STDERR: outputs["stderr"]}
                wanted = {channel for channel, is_wanted in channels.items() if is_wanted}
                return await serve_websocket(request, start, wanted, self._open_streams)
            case "spdy/3.1":
                kinds = {"error": True, "stdin": stdin, "resize": tty, **outputs}
                expected = frozenset(kind for kind, is_expected in kinds.items() if is_expected)
                connection = await _accept_spdy(request, COMMAND_PROTOCOL)
                async with self._open_streams.limit(STREAM_TIMEOUT_SECONDS):
                    await SpdyCommand(connection.send, start, expected).run(connection.chunks())
                connection.close()
                return connection.response
        return _upgrade_required()

    async def _forward(self, request: web.BaseRequest, pods: PodStreams, target: _Target) -> web.StreamResponse:
        async def connect(port: int) -> PodConnection:
            return await pods.connect(target.namespace, target.pod, port)

        match request.headers.get("Upgrade", "").lower():
            case "websocket":
                ports = ports_of(request, "port")
                socket = web.WebSocketResponse(protocols=(CHANNELS,))
                await socket.prepare(request)
                async with self._open_streams.limit(STREAM_TIMEOUT_SECONDS):
                    await serve_channels(socket, ports, connect)
                await socket.close()
                return socket
            case "spdy/3.1":
                connection = await _accept_spdy(request, PORT_FORWARD_PROTOCOL)
                async with self._open_streams.limit(STREAM_TIMEOUT_SECONDS):
                    await SpdyTunnel(connection.send, connect).run(connection.chunks())
                connection.close()
                return connection.response
        return _upgrade_required()


async def _accept_spdy(request: web.BaseRequest, protocol: str) -> UpgradedConnection:
    return await UpgradedConnection.accept(request, SPDY, {_PROTOCOL_HEADER: protocol})


def _upgrade_required() -> web.Response:
    return web.Response(status=400, text="unable to upgrade: missing upgrade headers in request")
