"""Clusters that are started for a test, with one image, and the proof that nothing of them is left."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.kube import KubeClient
from cluster.providers.embedded import EmbeddedProvider
from tests.endtoend.harness import leftovers, wait_for

SERVER = """\
#!/usr/bin/env python3
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["HOSTNAME"].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""


@pytest.fixture
def image_map(tmp_path: Path) -> Path:
    """One image, ``test/web``, that serves its pod's name on port 8000."""
    program = tmp_path / "bin" / "web"
    program.parent.mkdir()
    program.write_text(SERVER)
    program.chmod(0o755)
    path = tmp_path / "images.yaml"
    path.write_text('images: [{repository: test/web, tags: ["*"], entrypoint: [web], bin: bin}]')
    return path


@pytest.fixture
def provider(image_map: Path) -> EmbeddedProvider:
    return EmbeddedProvider(image_map)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    wait_for(lambda: leftovers(tmp_path) == [], seconds=10)


def deploy(kubeconfig: Path, replicas: int = 2) -> None:
    """A Deployment and a Service named web, by the typed client; waits until every pod is Ready."""
    from kubernetes import client, config

    api = config.new_client_from_config(config_file=str(kubeconfig))
    labels = {"app": "web"}
    probe = client.V1Probe(http_get=client.V1HTTPGetAction(port=8000), period_seconds=1)
    container = client.V1Container(name="web", image="test/web:1", readiness_probe=probe)
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    deployment = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    client.AppsV1Api(api).create_namespaced_deployment("default", deployment)
    ports = [client.V1ServicePort(port=80, target_port=8000)]
    service = client.V1Service(
        metadata=client.V1ObjectMeta(name="web"), spec=client.V1ServiceSpec(selector=labels, ports=ports)
    )
    client.CoreV1Api(api).create_namespaced_service("default", service)
    kube = KubeClient(kubeconfig)

    def ready() -> bool:
        (found,) = kube.list_objects("deployments", "default")
        return bool(found.get("status", {}).get("readyReplicas") == replicas)

    wait_for(ready, seconds=20)


def ask(kubeconfig: Path) -> str:
    """The answer of the Service at its ClusterIP."""
    service = KubeClient(kubeconfig).read("services", "default", "web")
    assert service is not None
    with urllib.request.urlopen(f"http://{service['spec']['clusterIP']}:80/", timeout=5) as answer:
        text: str = answer.read().decode()
    return text
