"""Whatever is wrong with the cluster, the message says what and where."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from clients.errors import EnvironmentUnusable, InputError, OperationFailed
from clients.kube import KubeClient

TOKEN = "secret-token"


class Api(BaseHTTPRequestHandler):
    """The few answers that the tests need of a Kubernetes API."""

    def do_GET(self):
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"kind": "Status", "message": "Unauthorized"})
        path, _, query = self.path.partition("?")
        if path == "/apis/apps/v1/namespaces/system/deployments" and "watch=true" in query:
            return self.stream("ADDED", "BOOKMARK", "MODIFIED")
        if path == "/api/v1/namespaces/system/pods":
            return self.answer(200, {"items": [{"metadata": {"name": f"seen-with-{query}"}}]})
        if path == "/api/v1/namespaces/system/services/none":
            return self.answer(404, {"kind": "Status", "message": 'services "none" not found'})
        return self.answer(500, {"kind": "Status", "message": "boom"})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, *types):
        """Events whose objects are not what the client's model classes would accept."""
        self.send_response(200)
        self.end_headers()
        for kind in types:
            event = {"type": kind, "object": {"kind": kind, "limits": {"nvidia.com/gpu": 1}}}
            self.wfile.write(json.dumps(event).encode() + b"\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def kubeconfig(tmp_path):
    def write(server, token=TOKEN):
        path = tmp_path / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    return write


def test_objects_come_as_plain_json(server, kubeconfig):
    pods = KubeClient(kubeconfig(server)).list_objects("pods", "system", labels="a=b")
    assert pods == [{"metadata": {"name": "seen-with-labelSelector=a%3Db"}}]


def test_a_watch_yields_objects_as_they_are_and_no_bookmarks(server, kubeconfig):
    seen = KubeClient(kubeconfig(server)).watch("deployments", "system", timeout_seconds=2)
    assert [found["kind"] for found in seen] == ["ADDED", "MODIFIED"]


def test_an_object_that_does_not_exist_is_none(server, kubeconfig):
    assert KubeClient(kubeconfig(server)).read("services", "system", "none") is None


def test_a_wrong_token_is_named(server, kubeconfig):
    with pytest.raises(EnvironmentUnusable, match=r"refused us \(401\).*check the token"):
        KubeClient(kubeconfig(server, "wrong")).list_objects("pods", "system")


def test_an_error_of_the_server_is_told(server, kubeconfig):
    with pytest.raises(OperationFailed, match="500"):
        KubeClient(kubeconfig(server)).list_objects("nodes")


def test_a_cluster_that_is_down_is_named(server, kubeconfig):
    closed = "http://127.0.0.1:1"
    with pytest.raises(EnvironmentUnusable, match="cannot be reached"):
        KubeClient(kubeconfig(closed)).list_objects("pods", "system")


def test_a_missing_file_a_broken_file_and_an_unknown_context_are_bad_input(tmp_path, server, kubeconfig):
    broken = tmp_path / "broken"
    broken.write_text("{ nonsense")
    for path, context in ((tmp_path / "none", None), (broken, None), (kubeconfig(server), "other")):
        with pytest.raises(InputError, match=str(path)):
            KubeClient(path, context)
