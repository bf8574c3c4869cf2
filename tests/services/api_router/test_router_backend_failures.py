"""What clients and metrics are told when a backend fails."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Callable

import pytest

from clients.router import RouterClient
from tests.services.platform_harness import (
    LAST_CHUNK,
    SSE_HEAD,
    Backend,
    BackendCall,
    Behaviour,
    answers,
    chunk,
    event,
    wait_until,
)

from .conftest import KEY, MODEL, RegistryServer, StartRouter

Connect = Callable[[], http.client.HTTPConnection]
BODY = json.dumps({"model": MODEL, "prompt": "x", "stream": True})
HEADERS = {"Authorization": f"Bearer {KEY}"}


def sends(*parts: bytes, then_hold: bool = False) -> Behaviour:
    async def behave(call: BackendCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then_hold:
            assert await reader.read() == b""
            call.disconnected.set()

    return behave


def outcomes(router: RouterClient, model: str = MODEL) -> dict[str, float]:
    return {name: count for name, count in router.traffic()[model].outcomes.items() if count}


def raw_answer(router: RouterClient, version: str = "1.1") -> tuple[bytes, bool]:
    """Everything the router sends for a streaming request, and whether the connection was reset."""
    host, port = router._base_url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = [
            f"POST /v1/completions HTTP/{version}",
            "Host: h",
            f"X-API-Key: {KEY}",
            f"Content-Length: {len(BODY)}",
        ]
        connection.sendall("\r\n".join([*head, "", BODY]).encode())
        try:
            while data := connection.recv(65536):
                received += data
                if received.endswith(LAST_CHUNK):
                    break
        except ConnectionResetError:
            return received, True
    return received, False


def test_events_pass_as_they_come(connect: Connect, router: RouterClient, backend: Backend) -> None:
    released = asyncio.Event()

    async def behave(call: BackendCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD + chunk(event("one")))
        await writer.drain()
        await released.wait()
        writer.write(chunk(event("two")) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK)

    backend.behaviour = behave
    connection = connect()
    connection.request("POST", "/v1/completions", BODY, HEADERS)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert answer.headers["X-Routing-Backend"] == backend.endpoint
    first = answer.read1()
    assert first == event("one")
    backend._thread.loop.call_soon_threadsafe(released.set)
    assert answer.read() == event("two") + b"data: [DONE]\n\n"
    assert outcomes(router) == {"success": 1}


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after a held chunk"])
def test_a_stream_that_is_cut_does_not_look_complete(router: RouterClient, backend: Backend, pause: bool) -> None:
    backend.behaviour = sends(SSE_HEAD + chunk(event("one")), *([chunk(event("two"))] * 5 if pause else []))
    received, _ = raw_answer(router)
    assert event("one") in received
    assert not received.endswith(LAST_CHUNK)
    assert outcomes(router) == {"stream_cut": 1}


def test_http_clients_notice_a_cut_stream(connect: Connect, backend: Backend) -> None:
    backend.behaviour = sends(SSE_HEAD + chunk(event("one")))
    connection = connect()
    connection.request("POST", "/v1/completions", BODY, HEADERS)
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()


def test_a_cut_stream_resets_the_connection_of_an_old_client(router: RouterClient, backend: Backend) -> None:
    backend.behaviour = sends(SSE_HEAD + chunk(event("one")))
    _, reset = raw_answer(router, version="1.0")
    assert reset


def test_a_stream_without_its_last_event_counts_as_cut(router: RouterClient, backend: Backend) -> None:
    backend.behaviour = sends(SSE_HEAD + chunk(event("one")) + LAST_CHUNK)
    received, _ = raw_answer(router)
    assert received.endswith(LAST_CHUNK)
    assert outcomes(router) == {"stream_cut": 1}


def test_an_error_event_counts_as_an_error(router: RouterClient, backend: Backend) -> None:
    error = b'data: {"error": {"message": "engine died", "code": 500}}\n\n'
    parts = [chunk(event("one")), chunk(error[:9]), chunk(error[9:]), chunk(b"data: [DONE]\n\n"), LAST_CHUNK]
    backend.behaviour = sends(SSE_HEAD, *parts)
    raw_answer(router)
    assert outcomes(router) == {"error": 1}


def test_a_stream_that_stands_still_is_cut(start_router: StartRouter, backend: Backend) -> None:
    router = start_router(API_ROUTER_IDLE_TIMEOUT_SECONDS="0.2")
    backend.behaviour = sends(SSE_HEAD + chunk(event("one")), then_hold=True)
    received, _ = raw_answer(router)
    assert not received.endswith(LAST_CHUNK)
    assert outcomes(router) == {"stream_cut": 1}


@pytest.mark.parametrize("began", [False, True], ids=["before the answer", "in the middle"])
def test_a_client_that_leaves_stops_the_backend(
    connect: Connect, router: RouterClient, backend: Backend, began: bool
) -> None:
    backend.behaviour = sends(*([SSE_HEAD + chunk(event("one"))] if began else []), then_hold=True)
    connection = connect()
    connection.request("POST", "/v1/completions", BODY, HEADERS)
    if began:
        connection.getresponse().read1()
    wait_until(lambda: bool(backend.calls), what="the call")
    connection.close()
    assert connection.sock is None
    assert backend.calls[0].disconnected.wait(5)
    wait_until(lambda: outcomes(router) == {"client_error": 1}, what="the count")


def test_nobody_listening_is_503(router: RouterClient, registry: RegistryServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        registry.client.register("production", MODEL, f"127.0.0.1:{unused.getsockname()[1]}")
        done = router.complete(MODEL)
    assert (done.status, done.code) == (503, "BACKEND_UNAVAILABLE")
    assert outcomes(router) == {"error": 1}
    metrics = http_get(router, "/metrics")
    assert f'api_router_backend_errors_total{{error_type="connect",model="{MODEL}"}} 2.0' in metrics


def test_a_name_that_does_not_resolve_is_503(router: RouterClient, registry: RegistryServer) -> None:
    registry.client.register("production", MODEL, "no-such-host.invalid:8000")
    assert router.complete(MODEL).code == "BACKEND_UNAVAILABLE"


def test_a_refused_connection_is_tried_once_more(
    router: RouterClient, registry: RegistryServer, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first connection is refused by the system, the second one is real."""
    loop = backend._thread.loop
    connect = loop.sock_connect
    backend_port = int(backend.endpoint.split(":")[1])
    refused: list[object] = []

    async def refuse_first(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[1] == backend_port and not refused:
            refused.append(address)
            raise ConnectionRefusedError("refused")
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", refuse_first)
    assert router.complete(MODEL).ok
    assert refused
    assert len(backend.calls) == 1


def test_a_backend_that_breaks_off_before_it_answers_is_502_and_not_asked_again(
    router: RouterClient, backend: Backend
) -> None:
    backend.behaviour = sends()
    done = router.complete(MODEL)
    assert (done.status, done.code) == (502, "BACKEND_ERROR")
    assert len(backend.calls) == 1


def test_a_whole_answer_that_breaks_off_is_502(router: RouterClient, backend: Backend) -> None:
    backend.behaviour = sends(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    assert router.complete(MODEL).code == "BACKEND_ERROR"
    assert outcomes(router) == {"error": 1}


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_502(router: RouterClient, backend: Backend, status: int) -> None:
    backend.behaviour = answers(status, {"error": {"message": "engine died"}})
    done = router.complete(MODEL)
    assert (done.status, done.code, done.backend) == (502, "BACKEND_ERROR", backend.endpoint)
    assert outcomes(router) == {"error": 1}


@pytest.mark.parametrize(("status", "outcome"), [(400, "client_error"), (422, "client_error"), (404, "error")])
def test_a_client_error_of_the_backend_passes_as_it_is(
    router: RouterClient, backend: Backend, status: int, outcome: str
) -> None:
    backend.behaviour = answers(status, {"error": {"message": "too long", "type": "BadRequestError", "code": status}})
    done = router.complete(MODEL)
    assert (done.status, done.error) == (status, "too long")
    assert outcomes(router) == {outcome: 1}


def test_a_backend_that_hangs_is_504_in_time(start_router: StartRouter, backend: Backend) -> None:
    router = start_router(API_ROUTER_FIRST_BYTE_TIMEOUT_SECONDS="0.3")
    backend.behaviour = sends(then_hold=True)
    started = time.monotonic()
    done = router.complete(MODEL)
    assert (done.status, done.code) == (504, "BACKEND_TIMEOUT")
    assert 0.25 < time.monotonic() - started < 3
    assert backend.calls[0].disconnected.wait(5)


def http_get(router: RouterClient, path: str) -> str:
    from clients.http_json import call

    return call("GET", router._base_url + path, timeout_seconds=5).body.decode()
