"""Metrics, the statistics line and nvidia-smi tell what the server does."""

from __future__ import annotations

import json
import subprocess

import pytest

LABELS = 'engine="0",model_name="llama"'


def test_the_counters_follow_the_requests(launch):
    server = launch(TOKENS_PER_SECOND="500").ready()
    for _ in range(3):
        server.post("/v1/completions", prompt="12345678", max_tokens=5, ignore_eos=True)
    server.post("/v1/completions", model="other", prompt="x")
    expected = {
        f"vllm:prompt_tokens_total{{{LABELS}}}": 6,
        f"vllm:generation_tokens_total{{{LABELS}}}": 15,
        'vllm:request_success_total{engine="0",finished_reason="length",model_name="llama"}': 3,
        f"vllm:time_to_first_token_seconds_count{{{LABELS}}}": 3,
        f"vllm:inter_token_latency_seconds_count{{{LABELS}}}": 12,
        f"vllm:e2e_request_latency_seconds_count{{{LABELS}}}": 3,
        f'vllm:request_generation_tokens_bucket{{{LABELS.split(",")[0]},le="5.0",model_name="llama"}}': 3,
        'http_requests_total{handler="/v1/completions",method="POST",status="2xx"}': 3,
        'http_requests_total{handler="/v1/completions",method="POST",status="4xx"}': 1,
        f"vllm:num_requests_running{{{LABELS}}}": 0,
        f"vllm:kv_cache_usage_perc{{{LABELS}}}": 0,
    }
    assert {series: server.metric(series) for series in expected} == expected


def test_names_that_current_vllm_dropped_are_absent(llama):
    text = llama.call("GET", "/metrics")[1]
    for gone in ("time_per_output_token_seconds_count{", "gpu_cache_usage_perc", "num_requests_swapped"):
        assert f"vllm:{gone}" not in text
    assert 'handler="/health"' not in text
    assert "process_resident_memory_bytes" in text


def test_buckets_can_be_replaced(launch):
    buckets = json.dumps({"request_latency": [1, 3, 6]})
    server = launch("--model=llama", f"--custom-histogram-buckets={buckets}").ready()
    lines = server.call("GET", "/metrics")[1].splitlines()
    latency = [line for line in lines if line.startswith("vllm:e2e_request_latency_seconds_bucket")]
    assert [line.split('le="')[1].split('"')[0] for line in latency] == ["1.0", "3.0", "6.0", "+Inf"]


def test_a_queue_shows_in_the_gauges_and_rejections_are_counted(launch):
    server = launch("--model=llama", "--max-num-seqs=1", "--max-num-queued-reqs=1", FAULTS='{"hang": true}').ready()
    connections = []
    for expected in (1, 2):
        connection = server.connect()
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "x"}))
        connections.append(connection)
        server.until(
            lambda: server.running() + server.metric(f"vllm:num_requests_waiting{{{LABELS}}}") == expected  # noqa: B023
        )
    status, document = server.post("/v1/completions", prompt="x")
    assert status == 503
    assert "The engine is currently busy and cannot accept new requests" in document["error"]["message"]
    assert server.metric('vllm:admission_rejections_total{model_name="llama",reason="max_num_queued_reqs"}') == 1
    for connection in connections:
        connection.close()


def test_the_statistics_line_has_vllms_form(launch):
    server = launch(environment={"VLLM_LOG_STATS_INTERVAL": "0.3"}).ready()
    server.post("/v1/completions", prompt="hello", max_tokens=12, ignore_eos=True)
    server.logged("Engine 000: Avg prompt throughput: ")
    assert "Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 0.0%" in server.log


def smi(server, *arguments):
    return subprocess.run(
        ["nvidia-smi", *arguments], env=server.environment, capture_output=True, text=True, check=False
    )


def test_nvidia_smi_shows_the_servers_gpu_and_an_idle_one_after_its_death(launch):
    server = launch(GPU_MEMORY="8Gi", FAULTS='{"gpu_throttle_factor": 0.5}').ready()
    query = ("--query-gpu=memory.used,clocks_throttle_reasons.active", "--format=csv,noheader,nounits")
    server.until(lambda: smi(server, *query).stdout == "7536, 0x0000000000000020\n")
    table = smi(server)
    assert f"{server.process.pid}" in table.stdout
    assert len({len(line) for line in table.stdout.splitlines()[1:]}) == 1
    server.terminate()
    server.exit_code()
    assert smi(server, *query).stdout == "0, 0x0000000000000000\n"
    assert "No running processes found" in smi(server).stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--query-gpu=memory.used",), '"--format=" switch is missing'),
        (("--query-gpu=soul", "--format=csv"), 'Field "soul" is not a valid field'),
        (("--reset-everything",), "Invalid combination of input arguments"),
    ],
)
def test_nvidia_smi_refuses_what_it_does_not_know(llama, arguments, complaint):
    result = smi(llama, *arguments)
    assert result.returncode != 0
    assert complaint in result.stdout
