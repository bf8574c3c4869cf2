"""Ports of pods from outside, with kubectl and with the Python client."""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster.clients.conftest import Kubectl
from tests.cluster.clients.manifests import DEPLOYMENT, POD, SERVICE


@pytest.fixture
def pod(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=POD)
    kubectl.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")


@contextmanager
def forwarded(kubectl: Kubectl, target: str, port: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The local port that kubectl chose, and kubectl."""
    with kubectl.running("port-forward", target, f":{port}", "--address=127.0.0.1") as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)\n", line)
        assert found, line + (process.stderr.read() if process.stderr else "")
        yield int(found[1]), process


def get(port: int, path: str = "/", body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST" if body else "GET", path, body)
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.usefixtures("pod")
def test_kubectl_reaches_a_pod(kubectl: Kubectl) -> None:
    with forwarded(kubectl, "pod/web", 8000) as (port, _):
        assert get(port) == b"web"
        assert get(port, "/?size=3000000") == b"x" * 3_000_000
        assert get(port, body=b"y" * 2_000_000) == b"2000000 bytes"


@pytest.mark.usefixtures("pod")
def test_connections_through_one_kubectl_do_not_wait_for_each_other(kubectl: Kubectl) -> None:
    answers: list[bytes] = []
    with forwarded(kubectl, "pod/web", 8000) as (port, _):
        idle = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        idle.connect()
        threads = [threading.Thread(target=lambda: answers.append(get(port, "/?size=50000"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        idle.request("GET", "/")
        assert idle.getresponse().read() == b"web"
        idle.close()
    assert [len(answer) for answer in answers] == [50_000] * 8


def test_kubectl_finds_the_pods_of_services_and_deployments(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT + "---" + SERVICE)
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")
    for target, remote in (("svc/web", 80), ("deploy/web", 8000)):
        with forwarded(kubectl, target, remote) as (port, _):
            assert get(port).startswith(b"web-")


@pytest.mark.usefixtures("pod")
def test_a_port_on_which_nothing_listens_loses_the_connection(kubectl: Kubectl) -> None:
    with forwarded(kubectl, "pod/web", 9999) as (port, process):
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            get(port)
        assert process.stderr
        text = process.stderr.read()
        assert process.wait(10) == 1
    assert re.search(
        rf"an error occurred forwarding {port} -> 9999: error forwarding port 9999 to pod \S+, uid : ", text
    )
    assert "failed to connect to localhost:9999 inside namespace" in text
    assert "IPv4: dial tcp4 127.0.0.1:9999: connect: connection refused" in text
    assert text.endswith("error: lost connection to pod\n")


def test_a_pod_that_does_not_exist_or_run_is_refused(kubectl: Kubectl) -> None:
    assert 'pods "nosuch" not found' in kubectl("port-forward", "pod/nosuch", ":80").err
    kubectl.ok("run", "lost", "--image=lab/nothing:1")
    refused = kubectl("port-forward", "pod/lost", ":80")
    assert (refused.code, refused.err) == (
        1,
        "error: unable to forward port because pod is not running. Current status=Pending\n",
    )


@pytest.mark.usefixtures("pod")
def test_the_python_client_reaches_a_pod(kube: Any, namespace: str) -> None:
    from kubernetes import client
    from kubernetes.stream import portforward

    core = client.CoreV1Api(kube)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="8000,9999")
    link = forward.socket(8000)
    link.settimeout(10)
    link.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while data := link.recv(4096):
        answer += data
    assert answer.endswith(b"\r\n\r\nweb")
    assert forward.error(8000) is None
    closed = forward.socket(9999)
    closed.settimeout(10)
    assert closed.recv(1) == b""
    assert "connect: connection refused" in forward.error(9999)
    forward.close()


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("ports", ["", "0", "x", "65536"])
def test_ports_that_are_none_are_refused(kube: Any, namespace: str, ports: str) -> None:
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import stream

    core = client.CoreV1Api(kube)
    with pytest.raises(ApiException) as refused:
        stream(core.connect_get_namespaced_pod_portforward, "web", namespace, ports=ports)
    assert "400" in str(refused.value.reason)
