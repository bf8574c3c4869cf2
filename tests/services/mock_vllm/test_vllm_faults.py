"""What can be broken in a running server, through the admin port and from its start."""

from __future__ import annotations

import http.client
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import InputError
from services.mock_vllm.faults import Faults, FaultSwitch

TOKEN = "letmein"


@pytest.fixture
def broken(launch, free_port):
    """A server with an admin port, and a function that breaks it."""
    server = launch(ADMIN_PORT=str(free_port), ADMIN_TOKEN=TOKEN, WATCHDOG_SECONDS="1").ready()

    def admin(method="GET", body=None, token=TOKEN):
        connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=5)
        text = None if body is None else json.dumps(body)
        connection.request(method, "/faults", text, {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        document = json.loads(response.read())
        connection.close()
        return response.status, document

    server.admin = admin
    return server


def test_faults_are_read_and_replaced_as_a_whole(broken):
    assert broken.admin()[1]["error_ratio"] == 0
    assert broken.admin("PUT", {"error_ratio": 1, "latency_factor": 2})[0] == 200
    assert broken.admin("PUT", {"error_ratio": 0.5})[1]["latency_factor"] == 1
    assert broken.admin()[1]["error_ratio"] == 0.5


def test_a_change_needs_the_token(broken):
    assert broken.admin("PUT", {"hang": True}, token="guess")[0] == 401
    assert broken.admin()[1]["hang"] is False


def test_a_wrong_fault_is_refused_and_named(broken):
    status, document = broken.admin("PUT", {"error_ratio": 2})
    assert status == 400
    assert "faults.error_ratio: must be in [0, 1]" in document["error"]


def test_errors_come_at_their_ratio(broken):
    broken.admin("PUT", {"error_ratio": 1.0})
    status, document = broken.post("/v1/completions", prompt="x")
    assert (status, document["error"]["type"]) == (500, "InternalServerError")
    broken.admin("PUT", {})
    assert broken.post("/v1/completions", prompt="x")[0] == 200


def test_a_hung_engine_is_healthy_and_answers_when_it_recovers(broken):
    broken.admin("PUT", {"hang": True})
    connection = broken.connect()
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 2}))
    broken.until(lambda: broken.running() == 1)
    assert broken.call("GET", "/health")[0] == 200
    broken.admin("PUT", {})
    assert connection.getresponse().status == 200
    connection.close()


def test_a_cut_stream_ends_without_an_end_mark(broken):
    broken.admin("PUT", {"cut_stream_ratio": 1, "cut_stream_after_tokens": 2})
    connection = broken.connect()
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 9, "stream": True}))
    response = connection.getresponse()
    assert response.status == 200
    received = b""
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        while chunk := response.read1():
            received += chunk
    connection.close()
    assert received.count(b"data: {") == 2
    assert b"[DONE]" not in received
    assert "Unhandled exception" not in broken.log
    assert "Traceback" not in broken.log


def test_slow_health_is_late(broken):
    broken.admin("PUT", {"health_delay_seconds": 0.4})
    started = time.monotonic()
    assert broken.call("GET", "/health")[0] == 200
    assert time.monotonic() - started >= 0.4


def test_a_throttled_gpu_slows_answers_down(broken):
    def seconds():
        started = time.monotonic()
        assert broken.post("/v1/completions", prompt="x", max_tokens=10, ignore_eos=True)[0] == 200
        return time.monotonic() - started

    healthy = seconds()
    broken.admin("PUT", {"gpu_throttle_factor": 0.2})
    assert seconds() > 3 * healthy


def test_an_engine_death_fails_requests_turns_health_503_and_ends_with_exit_code_0(broken):
    broken.admin("PUT", {"hang": True})
    connection = broken.connect()
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "stream": True}))
    broken.until(lambda: broken.running() == 1)
    broken.admin("PUT", {"engine_death": "cuda-oom"})
    assert broken.call("GET", "/health")[0] == 503
    assert broken.post("/v1/completions", prompt="x")[0] == 500
    body = connection.getresponse().read().decode()
    assert '"error"' in body
    assert "InternalServerError" in body
    connection.close()
    assert broken.exit_code(3) == 0
    assert "EngineCore encountered a fatal error." in broken.log
    assert "torch.OutOfMemoryError: CUDA out of memory." in broken.log


def test_a_dead_engine_may_keep_its_server_alive(launch):
    keep = {"VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1"}
    server = launch(FAULTS='{"engine_death": "worker"}', WATCHDOG_SECONDS="0.2", environment=keep).ready()
    server.logged("Worker proc VllmWorker-0 died unexpectedly")
    after_two_watchdog_periods = time.monotonic() + 0.5
    server.until(lambda: server.process.poll() is not None or time.monotonic() > after_two_watchdog_periods)
    assert server.call("GET", "/health")[0] == 503
    server.terminate()
    assert server.exit_code() == 0


def test_a_version_can_be_bad_from_its_start(launch):
    server = launch(FAULTS='{"error_ratio": 1}').ready()
    assert server.call("GET", "/health")[0] == 200
    assert server.post("/v1/completions", prompt="x")[0] == 500


@pytest.mark.parametrize(
    "document", ["[]", "{", '{"hang": 1}', '{"latency_factor": 0}', '{"engine_death": "old age"}', '{"typo": 1}']
)
def test_faults_that_make_no_sense_are_input_errors(document):
    with pytest.raises(InputError, match="faults"):
        Faults.parse(document)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_the_share_of_failing_requests_is_the_ratio(ratio, seed):
    switch = FaultSwitch(Faults(error_ratio=ratio), seed)
    failures = sum(switch.request_fails() for _ in range(1000))
    assert abs(failures / 1000 - ratio) < 0.1
    assert ratio not in (0.0, 1.0) or failures == 1000 * ratio
