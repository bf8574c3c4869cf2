"""Bad input ends with exit code 2 and one message; nothing prints a traceback."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from clients.errors import InputError
from remediation.cli import main
from remediation.http import HttpRegistry
from tests.remediation.test_the_loop import remediate as run_remediation
from tests.remediation.world import World


class EmptyCluster(BaseHTTPRequestHandler):
    """An API server without any objects."""

    def do_GET(self):
        allowed = self.headers.get("Authorization") == "Bearer right"
        data = json.dumps({"items": []} if allowed else {"message": "Unauthorized"}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def server():
    with serving(EmptyCluster) as url:
        yield url


@pytest.fixture
def kubeconfig(tmp_path):
    def write(server, token):
        path = tmp_path / "kubeconfig"
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


@pytest.fixture
def remediate(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["remediate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return call


COMMANDS = ["diagnose", "plan", "apply"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_kubeconfig(remediate, command):
    code, message = remediate(command, "-r", "llm", "-n", "system", "--kubeconfig", "/does/not/exist")
    assert code == 2
    assert message == "remediate: /does/not/exist: there is no such kubeconfig file (check --kubeconfig)\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_cluster_that_is_down(remediate, kubeconfig, command):
    config = kubeconfig("http://127.0.0.1:1", "right")
    code, message = remediate(command, "-r", "llm", "-n", "system", "--kubeconfig", config)
    assert code == 2
    assert message.startswith("remediate: http://127.0.0.1:1: the cluster cannot be reached")
    assert message.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_token(remediate, server, kubeconfig, command):
    code, message = remediate(command, "-r", "llm", "-n", "system", "--kubeconfig", kubeconfig(server, "wrong"))
    assert code == 2
    assert "check the token" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_release_that_does_not_exist(remediate, server, kubeconfig, command):
    code, message = remediate(command, "-r", "llm", "-n", "system", "--kubeconfig", kubeconfig(server, "right"))
    assert code == 2
    assert "release llm in namespace system: there is no such release" in message


def test_an_api_key_file_that_cannot_be_read(remediate):
    code, message = remediate("diagnose", "-r", "llm", "-n", "system", "--api-key-file", "/does/not/exist")
    assert code == 2
    assert "--api-key-file" in message


def test_an_unknown_option_is_bad_input(remediate):
    assert remediate("diagnose", "--nonsense")[0] == 2


class Clocked(EmptyCluster):
    """An API server whose clock is two minutes behind."""

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() - 120)


@pytest.mark.parametrize("command", COMMANDS)
def test_clocks_that_disagree(remediate, kubeconfig, command):
    with serving(Clocked) as server:
        code, message = remediate(command, "-r", "llm", "-n", "system", "--kubeconfig", kubeconfig(server, "right"))
    assert code == 2
    assert "clock is 120 s ahead of the cluster's" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_policy_with_a_hole(remediate, server, kubeconfig, tmp_path, command):
    policy = tmp_path / "policy.yaml"
    policy.write_text('matrix: [{healthy: "[0, 0.5)", errors: "[0, 1]", decision: rollback}]')
    access = ("--kubeconfig", kubeconfig(server, "right"), "--policy", str(policy))
    code, message = remediate(command, "-r", "llm", "-n", "system", *access)
    assert code == 2
    assert "policy.yaml: matrix: no row covers the cell healthy 0.5, errors 0" in message
    assert message.count("\n") == 1


class Chatty(BaseHTTPRequestHandler):
    """Answers everything, but is no registry."""

    body = b"<html>welcome</html>"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


class Wrong(Chatty):
    body = b'{"answer": 42}'


@pytest.mark.parametrize("kind", [Chatty, Wrong])
def test_a_registry_that_answers_garbage_is_named(kind):
    with serving(kind) as url, pytest.raises(InputError, match="no model registry"):
        HttpRegistry(url).entry("production", "m")


def test_garbage_from_the_registry_ends_a_remediation_before_it_changes_anything():
    world = World(status="disabled").install()

    def garbage(*_):
        raise InputError("what answers there is no model registry", where="model registry")

    world.entry = garbage
    with pytest.raises(InputError):
        run_remediation(world)
    assert world.calls == []


def test_a_chart_without_the_expected_values_is_named_and_nothing_is_changed():
    world = World().install(resources={"limits": {"memory": "512Mi"}})
    world.install(resources={"limits": {"memory": "64Mi"}})
    secrets, kept = world._secrets, world.revisions

    def of_another_chart():
        """The same release, with values that have no `limits.memory` anywhere."""
        chart = {"metadata": {"name": "other", "version": "1"}, "values": {}}
        world.revisions = [{**each, "config": {"memoryInMegabytes": 64}, "chart": chart} for each in kept]
        found = secrets()
        world.revisions = kept
        return found

    world._secrets = of_another_chart
    outcome = run_remediation(world)
    assert outcome.bad_input
    assert "no single value of the release sets the memory limit 64Mi" in outcome.summary
    assert not [call for call in world.calls if call.startswith(("upgrade", "rollback", "patch", "enable"))]


class Forbidding(EmptyCluster):
    """An API server that knows who asks, and lets nobody see anything."""

    def do_GET(self):
        message = 'deployments.apps is forbidden: User "ana" cannot list resource "deployments"'
        data = json.dumps({"message": message}).encode()
        self.send_response(200 if self.path == "/version" else 403)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_permission(remediate, kubeconfig, command):
    with serving(Forbidding) as server:
        code, message = remediate(command, "-r", "llm", "-n", "system", "--kubeconfig", kubeconfig(server, "right"))
    assert code == 2
    assert 'User "ana" cannot list resource "deployments"' in message
    assert message.count("\n") == 1
