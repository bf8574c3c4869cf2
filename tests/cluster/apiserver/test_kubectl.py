"""kubectl, unchanged, against the server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.embedded.resources import PODS
from tests.cluster.apiserver.conftest import Cluster

KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH; install it to run these")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: system}
spec:
  replicas: 1
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: c, image: "i:TAG"}]}
"""

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kubectl(cluster: Cluster, tmp_path: Path) -> Kubectl:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig)}

    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(KUBECTL), "-n", "system", *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


@pytest.fixture
def pod(cluster: Cluster) -> None:
    body = {
        "metadata": {"name": "web", "namespace": "system"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "i"}]},
    }
    created = cluster.call(cluster.registry.create, PODS, body)
    status = {"phase": "Running", "podIP": "127.16.128.2"}
    cluster.call(lambda: cluster.registry.update(PODS, {**created, "status": status}, subresource="status"))


@pytest.mark.usefixtures("pod")
def test_pods_are_printed_logged_and_entered(kubectl: Kubectl) -> None:
    header, row = kubectl("get", "pods", "-o", "wide").stdout.splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:3] == ["web", "0/1", "Running"]
    assert "127.16.128.2" in row
    assert kubectl("logs", "web").stdout == "first\nsecond\n"
    assert kubectl("exec", "web", "--", "echo", "hi").stdout == "echo hi\n"
    assert kubectl("exec", "-i", "web", "--", "cat", stdin="typed\n").stdout == "typed\n"
    failed = kubectl("exec", "web", "--", "exit", "3")
    assert (failed.returncode, "about to fail" in failed.stderr) == (3, True)
    assert "Node:" in kubectl("describe", "pod", "web").stdout


def test_typed_creates_arrive_as_protobuf(kubectl: Kubectl) -> None:
    assert kubectl("create", "configmap", "c", "--from-literal=a=b").stdout == "configmap/c created\n"
    assert kubectl("create", "secret", "generic", "s", "--from-literal=a=b").returncode == 0
    assert kubectl("create", "namespace", "other").returncode == 0
    assert kubectl("create", "deployment", "web", "--image=web:1", "--replicas=0").returncode == 0
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}").stdout == "Yg=="
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}").stdout == "0"
    assert kubectl("scale", "deployment/web", "--replicas=4").returncode == 0
    assert kubectl("get", "deployment", "web").stdout.split()[-4] == "0/4"


@pytest.mark.parametrize("flags", [(), ("--server-side", "--force-conflicts")], ids=["client-side", "server-side"])
def test_a_manifest_is_applied_and_applied_again(kubectl: Kubectl, flags: tuple[str, ...]) -> None:
    for tag in ("1", "2"):
        applied = kubectl("apply", *flags, "-f", "-", stdin=DEPLOYMENT.replace("TAG", tag))
        assert (applied.returncode, applied.stderr) == (0, "")
    image = "{.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deployment", "app", "-o", f"jsonpath={image}").stdout == "i:2"
    assert kubectl("delete", "deployment", "app").stdout == 'deployment.apps "app" deleted\n'


def test_what_does_not_exist_is_said_so(kubectl: Kubectl) -> None:
    assert 'pods "nosuch" not found' in kubectl("get", "pod", "nosuch").stderr
    assert "the server doesn't have a resource type" in kubectl("get", "widgets").stderr
    assert "Metrics API not available" in kubectl("top", "pods").stderr
    assert 'pods "nosuch" not found' in kubectl("exec", "nosuch", "--", "ls").stderr
