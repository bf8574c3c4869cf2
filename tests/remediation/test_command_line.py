"""Bad input ends with exit code 2 and one message; nothing prints a traceback."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from remediation.cli import main


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


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), EmptyCluster)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


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
