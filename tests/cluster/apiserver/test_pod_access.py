"""Logs and commands of containers, as the Python client asks for them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from cluster.embedded.resources import PODS
from tests.cluster.apiserver.conftest import Cluster, Http

LOG = "/api/v1/namespaces/system/pods/web/log"


@pytest.fixture(autouse=True)
def pod(cluster: Cluster) -> None:
    spec = {"nodeName": "node-1", "containers": [{"name": "main", "image": "i"}, {"name": "side", "image": "i"}]}
    annotations = {"kubectl.kubernetes.io/default-container": "main"}
    metadata = {"name": "web", "namespace": "system", "annotations": annotations}
    cluster.call(cluster.registry.create, PODS, {"metadata": metadata, "spec": spec})
    for name, extra in (("two", {"nodeName": "n"}), ("unscheduled", {})):
        body = {"metadata": {"name": name, "namespace": "system"}, "spec": {**spec, **extra}}
        if name == "unscheduled":
            body["spec"] = {"containers": spec["containers"][:1]}
        cluster.call(cluster.registry.create, PODS, body)


def run(kube: Any, *command: str, **options: Any) -> Any:
    core = client.CoreV1Api(kube)
    arguments = {"stdout": True, "stderr": True, "stdin": False, "tty": False, "command": list(command)}
    return stream(core.connect_get_namespaced_pod_exec, "web", "system", **{**arguments, **options})


def test_the_log_is_read_with_its_options(kube: Any, cluster: Cluster) -> None:
    core = client.CoreV1Api(kube)
    assert core.read_namespaced_pod_log("web", "system") == "first\nsecond\n"
    assert core.read_namespaced_pod_log("web", "system", tail_lines=1, timestamps=True) == "second\n"
    asked = cluster.streams.asked[-1]
    assert (asked.tail_lines, asked.timestamps, asked.follow) == (1, True, False)


def test_a_refusal_of_the_node_is_a_status(http: Http) -> None:
    response = http("GET", f"{LOG}?previous=true")
    assert response.status_code == 400
    assert "previous terminated container" in response.json()["message"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("container=nosuch", 400), ("tailLines=-1", 422), ("limitBytes=0", 422), ("tailLines=x", 400),
        ("sinceTime=yesterday", 400),
    ],
)  # fmt: skip
def test_log_options_that_make_no_sense_are_refused(http: Http, query: str, code: int) -> None:
    assert http("GET", f"{LOG}?{query}").status_code == code


def test_a_container_must_be_named_when_there_are_several(http: Http) -> None:
    message = http("GET", LOG.replace("web", "two")).json()["message"]
    assert message == "a container name must be specified for pod two, choose one of: [main side]"


def test_an_unscheduled_pod_has_no_log_and_no_exec(http: Http) -> None:
    assert http("GET", LOG.replace("web", "unscheduled")).status_code == 204
    response = http("POST", "/api/v1/namespaces/system/pods/unscheduled/exec?command=ls")
    assert response.json()["message"] == "pod unscheduled does not have a host assigned"


def test_a_followed_log_arrives_while_it_is_written(cluster: Cluster, http: Http) -> None:
    response = http.session.get(f"{http.url}{LOG}?follow=true", stream=True, timeout=10)
    lines = response.iter_lines()
    assert [next(lines), next(lines)] == [b"first", b"second"]
    cluster.streams.follow_until.set()
    assert list(lines) == []


def test_a_command_prints_and_succeeds(kube: Any) -> None:
    assert run(kube, "echo", "hello") == "echo hello\n"


def test_the_exit_code_comes_back(kube: Any) -> None:
    session = run(kube, "exit", "3", _preload_content=False)
    session.run_forever(timeout=5)
    assert session.read_stderr() == "about to fail\n"
    assert session.returncode == 3


def test_stdin_reaches_the_command(kube: Any, cluster: Cluster) -> None:
    session = run(kube, "cat", stdin=True, _preload_content=False)
    session.write_stdin("to be echoed\n")
    assert session.readline_stdout(timeout=5) == "to be echoed"
    session.close()
    deadline = time.monotonic() + 5
    while not cluster.streams.sessions[-1].killed:
        assert time.monotonic() < deadline, "a client that leaves must end its command"
        time.sleep(0.01)


def test_a_server_that_stops_ends_commands_and_watches(kube: Any, cluster: Cluster, http: Http) -> None:
    session = run(kube, "cat", stdin=True, _preload_content=False)
    session.write_stdin("x\n")
    assert session.readline_stdout(timeout=5) == "x"
    watching = http.session.get(f"{http.url}/api/v1/namespaces/system/pods?watch=1", stream=True, timeout=10)
    cluster.run(cluster.server.stop())
    assert cluster.streams.sessions[-1].killed
    assert len(list(watching.iter_lines())) == 3  # one event per pod, and a proper end


def test_a_command_that_cannot_start_fails_on_the_error_channel(kube: Any) -> None:
    session = run(kube, "no-such-program", _preload_content=False)
    session.run_forever(timeout=5)
    assert json.loads(session.read_channel(3))["message"] == "Internal error occurred: no such program"


def test_exec_in_a_missing_pod_is_404(kube: Any) -> None:
    core = client.CoreV1Api(kube)
    with pytest.raises(ApiException) as missing:
        stream(core.connect_get_namespaced_pod_exec, "nosuch", "system", command=["ls"], stdout=True)
    assert "404" in str(missing.value.reason)


def test_exec_needs_an_upgrade(http: Http) -> None:
    response = http("POST", "/api/v1/namespaces/system/pods/web/exec?command=ls")
    assert (response.status_code, response.json()["message"]) == (400, "Upgrade request required")


def test_the_first_message_says_that_the_channel_is_open_and_sizes_arrive(kube: Any, cluster: Cluster) -> None:
    session = run(kube, "cat", stdin=True, tty=True, _preload_content=False)
    assert session.sock.recv() == b"\x01"
    for size in ('{"Width":120,"Height":40}', '{"Width":-1,"Height":1}', "{", "[]", '{"Width":"x","Height":null}'):
        session.write_channel(4, size)
    session.write_stdin("x\n")
    assert session.readline_stdout(timeout=5) == "x"
    assert cluster.streams.sessions[-1].sizes == [(120, 40)]
    session.close()
