"""Which requests reach a backend, and what the others are told."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Callable

import pytest

from clients.errors import InputError
from clients.router import RouterClient
from services.api_router.app import Exchange
from tests.services.platform_harness import Backend, RedisProcess, answers

from .conftest import KEY, MODEL, RegistryServer, StartRouter

Connect = Callable[[], http.client.HTTPConnection]
BODY = json.dumps({"model": MODEL, "prompt": "x"})


def outcomes(router: RouterClient, model: str = MODEL) -> dict[str, float]:
    return {name: count for name, count in router.traffic()[model].outcomes.items() if count}


def test_a_completion_reaches_the_backend_and_names_it(router: RouterClient, backend: Backend) -> None:
    backend.behaviour = answers(200, {"choices": [{"text": "hi"}]}, X_Served_By="pod-1")
    done = router.complete(MODEL)
    assert (done.status, done.text, done.backend, done.served_by) == (200, "hi", backend.endpoint, "pod-1")
    assert backend.calls[0].path == "/v1/completions"
    assert outcomes(router) == {"success": 1}
    assert router.traffic()[MODEL].buckets[3.0] == router.traffic()[MODEL].buckets[6.0] == 1


def test_the_body_goes_through_unchanged_and_the_key_stays(connect: Connect, backend: Backend) -> None:
    body = b'{"model": "llama-2-7b",  "messages": [{"role": "user", "content": "\\u00e9"}], "extra": 1.50}'
    connection = connect()
    connection.request(
        "POST",
        "/v1/chat/completions",
        body,
        {"X-API-Key": KEY, "X-Request-Id": "trace-7", "Content-Type": "text/json"},
    )
    answer = connection.getresponse()
    assert (answer.status, answer.headers["X-Request-Id"]) == (200, "trace-7")
    call = backend.calls[0]
    assert call.path == "/v1/chat/completions"
    assert call.headers["content-length"] == str(len(body))
    assert call.body == json.loads(body)
    assert (call.headers["x-request-id"], call.headers["content-type"]) == ("trace-7", "text/json")
    assert KEY not in str(call.headers)


def test_each_request_uses_a_new_connection_to_the_backend(router: RouterClient, backend: Backend) -> None:
    for _ in range(3):
        router.complete(MODEL)
    assert len({call.peer for call in backend.calls}) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"X-API-Key": "x"},
    ],
)
def test_no_valid_key_is_401(connect: Connect, backend: Backend, router: RouterClient, headers: dict[str, str]) -> None:
    connection = connect()
    connection.request("POST", "/v1/completions", BODY, headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert (answer.status, body["code"]) == (401, "AUTH_INVALID")
    assert set(body) == {"error", "code", "trace_id"}
    assert backend.calls == []
    assert outcomes(router, "unknown") == {"client_error": 1}


def test_the_client_says_that_its_key_is_wrong(router: RouterClient) -> None:
    with pytest.raises(InputError, match="API key"):
        RouterClient(router._base_url, "wrong").complete(MODEL)


def test_an_unknown_model_is_404_and_makes_no_label(router: RouterClient) -> None:
    for number in range(5):
        done = router.complete(f"nobody-{number}")
        assert (done.status, done.code) == (404, "NOT_FOUND")
    assert outcomes(router, "unknown") == {"client_error": 5}
    assert set(router.traffic()) == {"unknown"}


def test_a_model_of_another_environment_is_unknown(start_router: StartRouter) -> None:
    assert start_router(ENVIRONMENT="staging").complete(MODEL).code == "NOT_FOUND"


def test_a_disabled_model_is_refused_at_once(router: RouterClient, registry: RegistryServer, backend: Backend) -> None:
    assert router.complete(MODEL).ok
    registry.client.disable("production", MODEL, "bad outputs", "me")
    done = router.complete(MODEL)
    assert (done.status, done.code) == (503, "MODEL_DISABLED")
    assert outcomes(router) == {"success": 1, "refused": 1}
    assert router.traffic()[MODEL].failed == 0
    registry.client.enable("production", MODEL)
    assert router.complete(MODEL).ok
    assert len(backend.calls) == 2


def test_a_stale_cache_keeps_routing_to_a_disabled_model(router: RouterClient, registry: RegistryServer) -> None:
    registry.client.set_stale_cache(True)
    assert router.complete(MODEL).ok
    registry.client.disable("production", MODEL, "bad outputs", "me")
    assert router.complete(MODEL).ok
    registry.client.clear_cache("production", MODEL)
    assert router.complete(MODEL).code == "MODEL_DISABLED"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "INVALID_REQUEST"),
        ("[]", 400, "INVALID_REQUEST"),
        ("", 400, "INVALID_REQUEST"),
        ("{}", 400, "MISSING_FIELD"),
        ('{"model": 7}', 400, "MISSING_FIELD"),
        (json.dumps({"model": MODEL, "prompt": "x" * 66000}), 413, "REQUEST_TOO_LARGE"),
    ],
)
def test_a_bad_request_is_the_clients_fault(
    connect: Connect, router: RouterClient, body: str, status: int, code: str
) -> None:
    connection = connect()
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {KEY}"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (status, code)
    assert outcomes(router, "unknown") == {"client_error": 1}


def test_the_cached_entry_serves_while_the_registry_is_down(router: RouterClient, registry: RegistryServer) -> None:
    assert router.complete(MODEL).ok
    registry.stop()
    assert router.complete(MODEL).ok
    done = router.complete("not-cached")
    assert (done.status, done.code) == (503, "REGISTRY_UNAVAILABLE")


def test_an_expired_entry_with_the_registry_down_is_a_clear_error(
    router: RouterClient, registry: RegistryServer, redis: RedisProcess
) -> None:
    assert router.complete(MODEL).ok
    registry.stop()
    with redis.client() as client:
        client.delete(f"model_registry:production:{MODEL}")
    done = router.complete(MODEL)
    assert (done.status, done.code) == (503, "REGISTRY_UNAVAILABLE")
    assert outcomes(router) == {"success": 1, "error": 1}


def test_a_router_without_redis_asks_the_registry(
    start_router: StartRouter, redis: RedisProcess, registry: RegistryServer
) -> None:
    redis.stop()
    router = start_router()
    assert router.complete(MODEL).ok
    assert router.ready()
    registry.client.disable("production", MODEL, "bad", "me")
    assert router.complete(MODEL).code == "MODEL_DISABLED"


def test_a_redis_that_hangs_delays_one_request_and_not_all(router: RouterClient, redis: RedisProcess) -> None:
    assert router.complete(MODEL).ok
    assert redis.process is not None
    redis.process.send_signal(signal.SIGSTOP)
    try:
        first, *others = [router.complete(MODEL) for _ in range(4)]
    finally:
        redis.process.send_signal(signal.SIGCONT)
    assert first.ok
    assert first.seconds < 3
    assert all(done.ok and done.seconds < 0.4 for done in others)


@pytest.mark.parametrize(
    ("began", "waited_seconds", "outcome"),
    [(False, 0.5, "client_error"), (False, 3.5, "error"), (True, 3.5, "client_error")],
)
def test_a_client_that_gives_up_on_a_late_answer_is_not_at_fault(
    began: bool, waited_seconds: float, outcome: str
) -> None:
    exchange = Exchange("trace", time.monotonic() - waited_seconds, began=began)
    assert exchange.left_by_client() == outcome


def test_what_redis_holds_is_not_trusted_blindly(
    router: RouterClient, redis: RedisProcess, registry: RegistryServer
) -> None:
    with redis.client() as client:
        client.set(f"model_registry:production:{MODEL}", b"\xff not json")
        assert router.complete(MODEL).ok
        client.set(f"model_registry:production:{MODEL}", json.dumps({"status": "disabled", "endpoint": "x:1"}))
    assert router.complete(MODEL).ok


def test_a_model_that_is_not_ready_says_its_status(
    router: RouterClient, registry: RegistryServer, tmp_path: object
) -> None:
    import sqlite3

    with sqlite3.connect(f"{tmp_path}/registry.db") as database:
        database.execute("update model_registry_entries set deployment_status = 'failed'")
    done = router.complete(MODEL)
    assert (done.status, done.code) == (503, "MODEL_NOT_READY")
    assert "failed" in done.error
