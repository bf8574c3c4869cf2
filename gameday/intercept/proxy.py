"""A proxy on loopback that records what passes through it, and can disturb it on purpose.

It stands before the API server, the registry and the router while a remediation works. Towards the API server it needs
a token of its own, so that nobody else on the machine can use it; what it forwards carries the identity that it was
given, not its caller's.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from gameday.intercept.calls import Call, http_call, kubernetes_call

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host", "content-length")
)
_MAX_BODY_BYTES = 64 * 2**20
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to a call instead of, or before, being passed on.

    Attributes:
        delay_seconds: it is passed on so much later.
        status: it is answered with this status (Kubernetes' way: a Status object) and not passed on.
        cut: it is passed on, and the connection is cut after so many bytes of the answer.
    """

    delay_seconds: float = 0.0
    status: int = 0
    cut_after_bytes: int | None = None


Disturb = Callable[[Call], Disturbance | None]
Told = Callable[[Call], None]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where calls go on to.

    Attributes:
        surface: `kubernetes`, `registry` or `router`.
        headers: added to every call, instead of the caller's of the same name.
        tls: how to trust, and to identify towards, an https upstream.
        token: what callers must present; empty lets their own headers pass.
    """

    surface: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    token: str = ""


class Interceptor:
    """Runs the proxy in a thread of its own.

    Args:
        told: called with every call once its status is known, from the proxy's thread.
        disturb: asked before a call is passed on.
    """

    def __init__(self, told: Told, disturb: Disturb = lambda _: None) -> None:
        self.disturb = disturb
        self._told = told
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="intercept", daemon=True)
        self._runners: list[web.AppRunner] = []
        self._sessions: list[ClientSession] = []

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Close every port and connection."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_SECONDS)
        self._loop.close()

    def serve(self, upstream: Upstream, certificate: ssl.SSLContext | None = None) -> str:
        """Open a port before an upstream, with TLS if there is a certificate; returns the URL to use in its place."""
        opening = self._serve(upstream, certificate)
        return asyncio.run_coroutine_threadsafe(opening, self._loop).result(START_SECONDS)

    async def _serve(self, upstream: Upstream, certificate: ssl.SSLContext | None) -> str:
        timeout = ClientTimeout(total=None, sock_connect=START_SECONDS)
        session = ClientSession(connector=TCPConnector(limit=0), timeout=timeout, auto_decompress=False)
        self._sessions.append(session)
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", _Handler(self, upstream, session).handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"{'https' if certificate else 'http'}://{host}:{port}"

    async def _close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        for session in self._sessions:
            await session.close()
        watches = asyncio.all_tasks() - {asyncio.current_task()}
        for task in watches:
            task.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    def tell(self, call: Call) -> None:
        """Record a call."""
        self._told(call)


@dataclass(frozen=True, slots=True)
class _Handler:
    interceptor: Interceptor
    upstream: Upstream
    session: ClientSession

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on and its answer back, byte by byte."""
        expected = f"Bearer {self.upstream.token}"
        presented = request.headers.get("Authorization", "")
        if self.upstream.token and not secrets.compare_digest(presented.encode(), expected.encode()):
            return _status(401, "Unauthorized", "this proxy needs its own token")
        body = await request.read()
        call = self._call(request, body)
        disturbance = self.interceptor.disturb(call) or Disturbance()
        await asyncio.sleep(disturbance.delay_seconds)
        if disturbance.status:
            self.interceptor.tell(replace(call, status=disturbance.status))
            return _status(disturbance.status, "Disturbed", "disturbed on purpose")
        return await self._forward(request, body, call, disturbance.cut_after_bytes)

    async def _forward(
        self, request: web.Request, body: bytes, call: Call, cut_after_bytes: int | None
    ) -> web.StreamResponse:
        url = URL(self.upstream.url + request.raw_path, encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        headers.update(self.upstream.headers)
        told = False
        try:
            async with self.session.request(
                request.method,
                url,
                headers=headers,
                data=body or None,
                ssl=self.upstream.tls or True,
                allow_redirects=False,
            ) as answer:
                self.interceptor.tell(replace(call, status=answer.status))
                told = True
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                passed = 0
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                    passed += len(chunk)
                    if cut_after_bytes is not None and passed >= cut_after_bytes and request.transport is not None:
                        request.transport.abort()
                        break
                await response.write_eof()
                return response
        except (ClientError, ConnectionError) as error:
            if not told:
                self.interceptor.tell(call)
                return _status(502, "BadGateway", f"no answer from {self.upstream.surface}: {type(error).__name__}")
            raise

    def _call(self, request: web.Request, body: bytes) -> Call:
        now, path = time.monotonic(), request.rel_url.raw_path
        if self.upstream.surface != "kubernetes":
            return http_call(now, self.upstream.surface, request.method, path)
        query, kind = request.rel_url.raw_query_string, request.headers.get("Content-Type", "")
        return kubernetes_call(now, request.method, path, query, body, kind)


def _status(code: int, reason: str, message: str) -> web.Response:
    """An answer as Kubernetes gives it, which other clients can read as well."""
    content = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response({**content, "message": message, "error": message}, status=code, headers=headers)
