"""Probes decide on readiness and restarts, with the events of a real kubelet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.embedded.node.probes import ProbeSettings
from tests.cluster.node.conftest import app, condition, is_ready, python, run, shell

_SERVER = """
import http.server, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit({term}))
began = time.monotonic()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        age = time.monotonic() - began
        self.send_response({code})
        self.end_headers()
    def log_message(self, *args):
        print(self.path, self.headers["User-Agent"], self.headers.get("X-Probe"), flush=True)
time.sleep({delay})
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _a_second_of_a_probe_is_a_tenth_of_one(monkeypatch):
    read = ProbeSettings.read

    def quicker(probe):
        settings = read(probe)
        return replace(
            settings,
            initial_delay_seconds=settings.initial_delay_seconds / 10,
            period_seconds=settings.period_seconds / 10,
            timeout_seconds=settings.timeout_seconds / 10,
        )

    monkeypatch.setattr(ProbeSettings, "read", quicker)


def _server(code: str = "200", delay: float = 0, term: int = 0) -> dict:
    return {
        "command": python(_SERVER.format(code=code, delay=delay, term=term)),
        "ports": [{"name": "http", "containerPort": 8080}],
    }


def _http(path: str = "/health", **settings) -> dict:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 10, **settings}


def test_a_pod_is_ready_only_when_its_readiness_probe_succeeds(node):
    async def scenario():
        async with node() as lab:
            headers = {"httpHeaders": [{"name": "X-Probe", "value": "yes"}]}
            probe = _http()
            probe["httpGet"] |= headers
            await lab.run("web", {**_server(delay=0.3), "readinessProbe": probe})
            starting = await lab.until("web", lambda p: "running" in app(p)["state"])
            assert not app(starting)["ready"]
            assert app(starting)["started"]
            pod = await lab.until("web", is_ready)
            address = pod["status"]["podIP"]
            assert lab.events.messages("web", "Unhealthy")[0] == (
                f'Readiness probe failed: Get "http://{address}:8080/health": '
                f"dial tcp {address}:8080: connect: connection refused"
            )
            assert "/health kube-probe/1.36 yes" in await lab.log("web")

    run(scenario())


def test_readiness_comes_and_goes_without_a_restart(node):
    async def scenario():
        async with node() as lab:
            code = "503 if 0.5 < age < 1.0 else 200"
            await lab.run("web", {**_server(code), "readinessProbe": _http(failureThreshold=2)})
            ready = await lab.until("web", is_ready)
            unready = await lab.until("web", lambda p: not is_ready(p))
            assert condition(unready, "Ready")["message"] == "containers with unready status: [app]"
            assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in lab.events.messages(
                "web", "Unhealthy"
            )
            again = await lab.until("web", is_ready)
            assert app(again)["restartCount"] == 0
            assert app(again)["containerID"] == app(ready)["containerID"]

    run(scenario())


def test_a_failing_liveness_probe_restarts_the_container(node):
    async def scenario():
        async with node() as lab:
            code = "500 if age > 0.3 else 200"
            await lab.run("web", {**_server(code, term=143), "livenessProbe": _http()})
            pod = await lab.until("web", lambda p: app(p).get("restartCount") == 1)
            assert app(pod)["lastState"]["terminated"]["exitCode"] == 143
            assert app(pod)["lastState"]["terminated"]["reason"] == "Error"
            failed = "Liveness probe failed: HTTP probe failed with statuscode: 500"
            assert lab.events.messages("web", "Unhealthy")[-3:] == [failed] * 3
            assert lab.events.messages("web", "Killing") == ["Container app failed liveness probe, will be restarted"]

    run(scenario())


def test_a_container_without_a_handler_is_killed_after_the_grace_of_the_probe(node):
    async def scenario():
        async with node() as lab:
            probe = {
                "tcpSocket": {"port": 9999},
                "periodSeconds": 1,
                "failureThreshold": 2,
                "terminationGracePeriodSeconds": 2,
            }
            await lab.run(
                "web",
                {"command": python("import time\nwhile 1: time.sleep(1)"), "livenessProbe": probe},
                terminationGracePeriodSeconds=30,
            )
            pod = await lab.until("web", lambda p: app(p).get("restartCount") == 1)
            assert app(pod)["lastState"]["terminated"]["exitCode"] == 137
            (killed,) = lab.events.times("web", "Killing")[:1]
            assert lab.events.times("web", "Started")[1] - killed == pytest.approx(2.0, abs=0.4)
            assert lab.events.messages("web", "Unhealthy")[0] == (
                f"Liveness probe failed: dial tcp {pod['status']['podIP']}:9999: connect: connection refused"
            )

    run(scenario())


def test_a_startup_probe_holds_back_the_others_and_restarts_what_never_starts(node):
    async def scenario():
        async with node() as lab:
            probes = {
                "startupProbe": _http(failureThreshold=3),
                "livenessProbe": _http("/live"),
                "readinessProbe": _http("/ready"),
            }
            await lab.run("slow", {**_server(delay=60), **probes})
            await lab.until("slow", lambda p: app(p).get("restartCount") == 1)
            messages = lab.events.messages("slow", "Unhealthy")
            assert messages
            assert all(message.startswith("Startup probe failed: ") for message in messages)
            assert lab.events.messages("slow", "Killing")[0] == (
                "Container app failed startup probe, will be restarted"
            )
            probes["startupProbe"] = _http(failureThreshold=30)
            await lab.run("good", {**_server(delay=0.3), **probes})
            starting = await lab.until("good", lambda p: "running" in app(p)["state"])
            assert not app(starting)["started"]
            await lab.until("good", is_ready)

    run(scenario())


def test_a_probe_that_gets_no_answer_in_time_fails(node):
    async def scenario():
        async with node() as lab:
            slow = _server("200 if not time.sleep(5) else 0")
            await lab.run("slow", {**slow, "readinessProbe": _http(timeoutSeconds=3, periodSeconds=2)})
            await lab.eventually(lambda: any("deadline" in text for text in lab.events.messages("slow", "Unhealthy")))
            address = (await lab.pod("slow"))["status"]["podIP"]
            assert lab.events.messages("slow", "Unhealthy")[-1] == (
                f'Readiness probe failed: Get "http://{address}:8080/health": '
                "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            )

    run(scenario())


def test_exec_probes_run_in_the_container(node):
    async def scenario():
        async with node() as lab:
            quick = {"periodSeconds": 2, "timeoutSeconds": 3}
            probes = {
                "flag": ["sh", "-c", 'test -f "$TMPDIR/ready"'],
                "talks": ["sh", "-c", "echo not yet; echo because >&2; exit 4"],
                "long": ["sleep", "5"],
                "missing": ["/no/such"],
            }
            for name, command in probes.items():
                container = {
                    "command": shell('sleep 0.3; touch "$TMPDIR/ready"; exec sleep 60'),
                    "readinessProbe": {"exec": {"command": command}, **quick},
                }
                await lab.run(name, container)
            await lab.until("flag", is_ready)
            await lab.eventually(lambda: all(lab.events.messages(name, "Unhealthy") for name in probes))
            texts = {name: lab.events.messages(name, "Unhealthy")[0] for name in probes}
            assert texts["flag"] == "Readiness probe failed: "
            assert texts["talks"] == "Readiness probe failed: not yet\nbecause\n"
            assert texts["long"] == 'Readiness probe failed: command timed out: "sleep 5" timed out after 0.3s'
            assert texts["missing"].startswith(
                "Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = "
                'failed to exec in container: failed to start exec "'
            )
            assert texts["missing"].endswith('exec: "/no/such": stat /no/such: no such file or directory: unknown')

    run(scenario())


def test_the_back_off_after_probe_kills_begins_with_the_third_restart(node):
    async def scenario():
        async with node(restart_backoff_base_seconds=1.0) as lab:
            await lab.run("web", {**_server("404"), "livenessProbe": _http(periodSeconds=5, failureThreshold=1)})
            await lab.eventually(lambda: len(lab.events.times("web", "Killing")) == 3)
            await lab.eventually(lambda: lab.events.times("web", "BackOff"))
            assert len(lab.events.times("web", "Started")) == 3
            assert len(lab.events.times("web", "Killing")) == 3

    run(scenario())


def test_an_exec_probes_event_has_all_that_the_command_printed(node):
    async def scenario():
        async with node() as lab:
            command = shell("printf one; sleep 0.02; printf two; exit 1")
            probe = {"exec": {"command": command}, "periodSeconds": 1}
            await lab.run("probed", {"command": shell("sleep 9"), "readinessProbe": probe})
            await lab.eventually(lambda: lab.events.messages("probed", "Unhealthy"))
            assert lab.events.messages("probed", "Unhealthy")[0] == "Readiness probe failed: onetwo"

    run(scenario())
