"""NetworkFaults as users ask for them: kubectl and the experiments' activities, on a cluster with real pods."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from clients.kube import KubeClient
from cluster.provider import Cluster
from cluster.providers.embedded import EmbeddedProvider
from experiments import network
from tests.endtoend.harness import leftovers, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(60)]

KUBECTL = shutil.which("kubectl")
SERVER = """\
#!/usr/bin/env python3
import http.server, os, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    # /via/ADDRESS/PORT asks somebody else
    def do_GET(self):
        answer = os.environ["HOSTNAME"]
        if self.path.startswith("/via/"):
            _, _, host, port = self.path.split("/")
            try:
                answer = urllib.request.urlopen(f"http://{host}:{port}/", timeout=0.5).read().decode()
            except OSError as error:
                answer = str(getattr(error, "reason", error))
        self.send_response(200); self.end_headers(); self.wfile.write(answer.encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
FAULT = """
apiVersion: chaos.gameday.dev/v1alpha1
kind: NetworkFault
metadata: {name: rift, namespace: default}
spec:
  target: {podSelector: {matchLabels: {app: a}}}
  peer: {podSelector: {matchLabels: {app: b}}}
  type: Partition
  ttlSeconds: 60
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: default}
spec: {podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Pods ``a`` and ``b``, and a Service for each, on port 80."""
    folder = tmp_path_factory.mktemp("network")
    program = folder / "bin" / "web"
    program.parent.mkdir()
    program.write_text(SERVER)
    program.chmod(0o755)
    images = folder / "images.yaml"
    images.write_text('images: [{repository: test/web, tags: ["*"], entrypoint: [web], bin: bin}]')
    provider = EmbeddedProvider(images)
    cluster = provider.up("network", state_dir=folder / "state", detached=False)
    try:
        for name in ("a", "b"):
            deploy(cluster.kubeconfig, name)
        yield cluster
    finally:
        provider.down(folder / "state")
    wait_for(lambda: leftovers(folder) == [], seconds=10)


def deploy(kubeconfig: Path, name: str) -> None:
    """A pod and a Service; waits until the Service answers."""
    from kubernetes import client, config

    api = config.new_client_from_config(config_file=str(kubeconfig))
    labels = {"app": name}
    probe = client.V1Probe(http_get=client.V1HTTPGetAction(port=8000), period_seconds=1)
    container = client.V1Container(name="web", image="test/web:1", readiness_probe=probe)
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    wait_for(lambda: KubeClient(kubeconfig).list_objects("nodes") != [], seconds=10)
    client.CoreV1Api(api).create_namespaced_pod("default", pod)
    ports = [client.V1ServicePort(port=80, target_port=8000)]
    service = client.V1Service(
        metadata=client.V1ObjectMeta(name=name), spec=client.V1ServiceSpec(selector=labels, ports=ports)
    )
    client.CoreV1Api(api).create_namespaced_service("default", service)
    wait_for(lambda: answers(address_of(kubeconfig, name)), seconds=20)


def address_of(kubeconfig: Path, service: str) -> str:
    found = KubeClient(kubeconfig).read("services", "default", service)
    assert found is not None
    return str(found["spec"]["clusterIP"])


def get(address: str, path: str = "/") -> str:
    connection = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def answers(address: str) -> bool:
    try:
        return bool(get(address))
    except OSError:
        return False


def from_a(cluster: Cluster, host: str, port: int) -> str:
    """What pod ``a`` gets of an address."""
    return get(address_of(cluster.kubeconfig, "a"), f"/via/{host}/{port}")


def ways_to_b(cluster: Cluster) -> list[tuple[str, int]]:
    """By name, and directly."""
    (pod,) = KubeClient(cluster.kubeconfig).list_objects("pods", "default", labels="app=b")
    return [("b", 80), (pod["status"]["podIP"], 8000)]


def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    result = subprocess.run(
        [str(KUBECTL), *arguments],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH; install it to run this")
@pytest.mark.parametrize(("manifest", "kind"), [(FAULT, "networkfault/rift"), (POLICY, "networkpolicy/closed")])
def test_kubectl_parts_two_pods_and_brings_them_together_again(cluster: Cluster, manifest: str, kind: str) -> None:
    ways = ways_to_b(cluster)
    assert [from_a(cluster, *way) for way in ways] == ["b", "b"]
    kubectl(cluster, "apply", "-f", "-", stdin=manifest)
    if "fault" in kind:
        kubectl(cluster, "wait", kind, "--for=condition=Active", "--timeout=10s")
        assert "rift" in kubectl(cluster, "get", "networkfaults")
    for way in ways:
        wait_for(lambda way=way: from_a(cluster, *way) == "timed out", seconds=5)
    assert get(address_of(cluster.kubeconfig, "b")) == "b"  # the node is not concerned
    kubectl(cluster, "delete", kind)
    for way in ways:
        wait_for(lambda way=way: from_a(cluster, *way) == "b", seconds=5)


def test_an_activity_injects_a_fault_and_its_rollback_removes_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    address = address_of(cluster.kubeconfig, "b")

    def seconds() -> float:
        began = time.monotonic()
        assert get(address) == "b"
        return time.monotonic() - began

    assert seconds() < 0.5
    spec: dict[str, Any] = {"target": {"service": "b"}, "type": "Delay", "delaySeconds": 0.6}
    for _ in range(2):  # a second one takes the place of the first
        assert network.inject("slow", "default", spec)["affected"] == ["service/b"]
        assert 0.6 <= seconds() < 1.1
    assert network.remove("slow", "default") is True
    wait_for(lambda: seconds() < 0.5, seconds=5)
    assert network.remove("slow", "default") is False


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"target": {"service": "b"}, "type": "Delay"}, "delaySeconds"),
        ({"target": {"service": "nosuch"}, "type": "BlackHole"}, "no such Service"),
    ],
)
def test_an_activity_that_cannot_do_harm_fails_and_leaves_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], reason: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with pytest.raises(ActivityFailed, match=reason):
        network.inject("odd", "default", spec, timeout_seconds=0.5)
    assert network.remove("odd", "default") is False
