"""The load process against a real HTTP server that streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from load.samples import Sample, SampleTail, read_samples


class _Router(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    delay_seconds = 0.0
    mode = "ok"

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        self.server.received.append(self.path)  # type: ignore[attr-defined]
        time.sleep(self.server.delay_seconds)  # type: ignore[attr-defined]
        mode = self.server.mode  # type: ignore[attr-defined]
        if mode == "disabled":
            return self._json(503, b'{"error":"model disabled","code":"MODEL_DISABLED"}')
        if b'"stream": true' in body:
            return self._stream(cut=mode == "cut")
        return self._json(200, b'{"usage":{"completion_tokens":3}}')

    def _json(self, status: int, payload: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Served-By", "pod-1")
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b'data: {"choices":[]}\n\n')
        if not cut:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    delay_seconds = 0.0
    mode = "ok"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.received: list[str] = []


@pytest.fixture
def server() -> Iterator[_Server]:
    httpd = _Server(("127.0.0.1", 0), _Router)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def _run(server: _Server, folder: Path, *, samples: int, profile: str = "rate_per_second: 40") -> list[Sample]:
    (folder / "profile.yaml").write_text(profile)
    path = folder / "samples.jsonl"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "load.runner", "--host", f"http://127.0.0.1:{server.server_port}",
            "--samples", str(path), "--load-profile", str(folder / "profile.yaml"),
        ],
        env={**os.environ, "GAMEDAY_API_KEY": "test-key"},
    )  # fmt: skip
    tail, seen, deadline = SampleTail(path), 0, time.monotonic() + 30
    while seen < samples and time.monotonic() < deadline:
        time.sleep(0.05)
        seen += len(tail.read())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    return read_samples(path)


def test_requests_start_when_the_schedule_says_although_answers_are_slow(server: _Server, tmp_path: Path) -> None:
    server.delay_seconds = 1.0
    samples = _run(server, tmp_path, samples=40)
    assert len(samples) >= 40
    late = [sample for sample in samples if sample.lag_seconds > 0.1]
    assert len(late) <= len(samples) // 10
    assert all(sample.latency_seconds >= 1.0 for sample in samples)


def test_requests_in_flight_when_the_load_is_stopped_are_recorded_too(server: _Server, tmp_path: Path) -> None:
    server.delay_seconds = 1.0
    samples = _run(server, tmp_path, samples=20)
    assert len(samples) == len(server.received)
    assert sorted(sample.number for sample in samples) == list(range(len(samples)))
    assert {sample.outcome for sample in samples} == {"ok"}


def test_every_kind_of_request_is_sent_and_recorded(server: _Server, tmp_path: Path) -> None:
    samples = _run(server, tmp_path, samples=60)
    assert {(sample.kind, sample.stream) for sample in samples} == {
        (kind, stream) for kind in ("completion", "chat") for stream in (True, False)
    }
    assert {sample.outcome for sample in samples} == {"ok"}
    assert all(sample.first_token_seconds is not None for sample in samples)


def test_a_stream_cut_after_a_200_is_a_failure(server: _Server, tmp_path: Path) -> None:
    server.mode = "cut"
    samples = _run(server, tmp_path, samples=20, profile="{rate_per_second: 40, stream_share: 1.0}")
    assert {sample.outcome for sample in samples} == {"stream_cut"}
    assert all(sample.status == 200 and sample.failed for sample in samples)


def test_a_refusal_of_a_disabled_model_is_told_apart_from_an_error(server: _Server, tmp_path: Path) -> None:
    server.mode = "disabled"
    samples = _run(server, tmp_path, samples=20)
    assert {(sample.outcome, sample.failed) for sample in samples} == {("refused", False)}


def test_nobody_listening_is_a_connect_error(server: _Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    samples = _run(server, tmp_path, samples=10)
    assert {sample.outcome for sample in samples} == {"connect_error"}
