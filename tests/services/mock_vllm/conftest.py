"""Real server processes on free ports, started as the image starts them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "services" / "images" / "vllm-openai"
DEADLINE_SECONDS = 10.0


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Vllm:
    """A server process and what a client does with it."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str], port: int = 0) -> None:
        self.port = port or find_free_port()
        self.log_path = folder / f"vllm-{self.port}.log"
        self.environment = {
            "PATH": f"{IMAGE / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(IMAGE / "python"),
            "TMPDIR": str(folder),
            "POD_NAME": "pod-a",
            **environment,
        }
        command = [*arguments, "--host=127.0.0.1", f"--port={self.port}"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)

    @property
    def model(self) -> str:
        return str(self.call("GET", "/v1/models")[1]["data"][0]["id"])

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and body (parsed if it is JSON)."""
        connection = self.connect()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers or {})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        is_json = (response.getheader("Content-Type") or "").startswith("application/json")
        return response.status, json.loads(text) if is_json else text

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return self.call("POST", path, body)

    def metric(self, series: str) -> float:
        """The value of a series as it stands in the exposition, labels included."""
        lines = self.call("GET", "/metrics")[1].splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(series + " ")]
        assert values, f"no series {series} in\n" + "\n".join(lines)
        return float(values[0])

    def running(self) -> float:
        """Sequences in the engine."""
        return self.metric(f'vllm:num_requests_running{{engine="0",model_name="{self.model}"}}')

    def refuses(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) != 0

    def until(self, condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Poll until the condition holds; fails with the server's log."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s; log:\n{self.log}"
            time.sleep(0.01)

    def ready(self) -> Vllm:
        self.until(lambda: self.process.poll() is not None or not self.refuses())
        assert self.process.poll() is None, f"ended with {self.process.returncode}; log:\n{self.log}"
        return self

    def logged(self, text: str) -> None:
        self.until(lambda: text in self.log)

    def anonymous_bytes(self) -> int:
        """What a memory cgroup charges to the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kibibytes = [int(line.split()[1]) for line in status.splitlines() if line.startswith(("RssAnon", "RssShmem"))]
        return sum(kibibytes) * 1024

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, seconds: float = DEADLINE_SECONDS) -> int:
        return self.process.wait(seconds)


@pytest.fixture
def free_port() -> int:
    return find_free_port()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Vllm]]:
    """Start servers: `launch("serve", "m", WEIGHTS="8Mi")`; keywords are `MOCK_VLLM_` variables."""
    servers: list[Vllm] = []

    def start(*words: str, environment: dict[str, str] | None = None, port: int = 0, **physics: str) -> Vllm:
        variables = {f"MOCK_VLLM_{name}": value for name, value in physics.items()}
        arguments = words or ("--model=meta/llama", "--served-model-name=llama")
        program = ("vllm",) if arguments[0] == "serve" else ("python3", "-m", "vllm.entrypoints.openai.api_server")
        servers.append(Vllm(tmp_path, (*program, *arguments), {**variables, **(environment or {})}, port))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """One quick server that the tests of a module share."""
    module = ("python3", "-m", "vllm.entrypoints.openai.api_server")
    names = ("--model=meta/llama", "--served-model-name", "llama", "llama-alias", "--max-model-len=512")
    physics = {"MOCK_VLLM_TIME_TO_FIRST_TOKEN_SECONDS": "0.01", "MOCK_VLLM_TOKENS_PER_SECOND": "500"}
    server = Vllm(tmp_path_factory.mktemp("vllm"), (*module, *names), physics)
    yield server.ready()
    server.process.kill()
    server.process.wait()
