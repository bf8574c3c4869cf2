"""From the command line to the exit code, with real processes."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

MIB = 2**20


def stream_in_background(server: Any, **body: Any) -> tuple[threading.Thread, list[str]]:
    """A streamed completion whose events collect in the list."""
    lines: list[str] = []

    def read() -> None:
        connection = server.connect()
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "stream": True, **body}))
        lines.extend(line.decode().strip() for line in connection.getresponse() if line.strip())
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    return thread, lines


def finish_reasons(lines: list[str]) -> list[str]:
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]
    choices = [choice for event in events for choice in event["choices"]]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def test_connections_are_refused_while_the_model_loads_and_accepted_afterwards(launch):
    server = launch(LOAD_SECONDS="0.5")
    server.logged("Starting to load model meta/llama")
    assert server.refuses()
    server.ready()
    assert server.call("GET", "/health") == (200, "")
    for line in (
        "Loading weights took",
        "Model loading took",
        "init engine (profile,",
        "Application startup complete.",
    ):
        assert line in server.log


def test_both_command_lines_of_the_image_serve_the_model(launch):
    server = launch("serve", "meta/llama", "--served-model-name", "llama", "--max_model_len=1k")
    (model,) = server.ready().call("GET", "/v1/models")[1]["data"]
    assert (model["id"], model["root"], model["max_model_len"]) == ("llama", "meta/llama", 1000)


def test_the_model_really_takes_the_memory_it_weighs(launch):
    light, heavy = launch().ready(), launch(WEIGHTS="96Mi").ready()
    difference = heavy.anonymous_bytes() - light.anonymous_bytes()
    assert abs(difference - 96 * MIB) < 4 * MIB
    assert light.anonymous_bytes() < 45 * MIB, "the server itself must fit a limit that the model does not"
    assert heavy.anonymous_bytes() < 200 * MIB


def test_memory_grows_during_the_load_and_not_at_its_end(launch):
    server = launch(WEIGHTS="64Mi", LOAD_SECONDS="1")
    server.logged("Starting to load")
    server.until(lambda: server.anonymous_bytes() > 45 * MIB)
    assert server.refuses()
    assert server.anonymous_bytes() < 80 * MIB


@pytest.mark.parametrize(
    ("arguments", "physics", "reason"),
    [
        (("--model=/nonexistent/model",), {}, "Invalid repository ID or local directory specified: '/nonexistent"),
        (("--model=",), {}, "Invalid repository ID or local directory"),
        (
            ("--model=meta/other",),
            {"MODELS": "meta/llama"},
            "meta/other is not a local folder and is not a valid model",
        ),
        ((), {"WEIGHTS": "2Gi", "GPU_MEMORY": "1Gi"}, "torch.OutOfMemoryError: CUDA out of memory."),
        ((), {"WEIGHTS": "1000Mi", "GPU_MEMORY": "1Gi"}, "No available memory for the cache blocks."),
        ((), {"KV_CACHE_TOKENS": "1024"}, "To serve at least one request with the model's max seq len (4096)"),
        ((), {"GPU_MEMORY": "8Gi", "GPU_MEMORY_USED": "4Gi"}, "is less than desired GPU memory utilization"),
    ],
)
def test_a_load_that_fails_ends_with_exit_code_1_and_vllms_lines(launch, arguments, physics, reason):
    server = launch(*arguments, **physics)
    assert server.exit_code() == 1
    assert reason in server.log
    assert "EngineCore failed to start." in server.log
    assert "Engine core initialization failed. See root cause above." in server.log


@pytest.mark.parametrize(
    ("arguments", "physics", "complaint"),
    [
        (("serve", "m", "--frobnicate"), {}, "unrecognized arguments: --frobnicate"),
        (("serve", "m", "--max-num-seqs=0"), {}, "must be at least 1"),
        ((), {"WEIGHTS": "plenty"}, "MOCK_VLLM_WEIGHTS: 'plenty' is not a quantity of bytes"),
        ((), {"FAULTS": '{"hangs": true}'}, "faults.hangs: unknown fault"),
    ],
)
def test_bad_input_ends_with_exit_code_2_and_names_the_setting(launch, arguments, physics, complaint):
    server = launch(*arguments, **physics)
    assert server.exit_code() == 2
    assert complaint in server.log
    assert "Traceback" not in server.log


def test_an_admin_port_in_use_ends_with_exit_code_1(launch):
    first = launch().ready()
    second = launch(ADMIN_PORT=str(first.port))
    assert second.exit_code() == 1
    assert f"MOCK_VLLM_ADMIN_PORT {first.port}" in second.log


def test_a_port_in_use_ends_with_exit_code_1(launch):
    first = launch().ready()
    second = launch(port=first.port)
    assert second.exit_code() == 1
    assert f"cannot bind 127.0.0.1:{first.port}" in second.log


def test_sigterm_while_loading_ends_the_load(launch):
    server = launch(LOAD_SECONDS="30")
    server.logged("Starting to load")
    server.terminate()
    assert server.exit_code() == 130
    assert "KeyboardInterrupt: terminated" in server.log


def test_sigterm_without_a_shutdown_timeout_aborts_streams_at_once(launch):
    server = launch(TOKENS_PER_SECOND="20").ready()
    thread, lines = stream_in_background(server, max_tokens=400, ignore_eos=True)
    server.until(lambda: server.running() == 1)
    server.terminate()
    assert server.exit_code(3) == 0
    thread.join()
    assert finish_reasons(lines) == ["abort"]
    assert "[shutdown] API server: stopping engine client mode=abort timeout=0s" in server.log
    assert "[shutdown] EngineCore: aborting in-flight requests count=1" in server.log


def test_sigterm_with_a_shutdown_timeout_lets_streams_finish(launch):
    server = launch("--model=m", "--shutdown-timeout=8", TOKENS_PER_SECOND="50").ready()
    thread, lines = stream_in_background(server, max_tokens=30, ignore_eos=True)
    server.until(lambda: server.running() == 1)
    server.terminate()
    server.logged("draining in-flight requests count=1 timeout=8s")
    assert server.post("/v1/completions", prompt="late")[1]["choices"][0]["finish_reason"] == "abort"
    assert server.exit_code(5) == 0
    thread.join()
    assert finish_reasons(lines) == ["length"]
    assert lines[-1] == "data: [DONE]"


def test_a_drain_ends_at_its_timeout(launch):
    server = launch("--model=m", "--shutdown-timeout=0.3", FAULTS='{"hang": true}').ready()
    thread, lines = stream_in_background(server, max_tokens=30)
    server.until(lambda: server.running() == 1)
    server.terminate()
    assert server.exit_code(3) == 0
    thread.join()
    assert finish_reasons(lines) == ["abort"]
