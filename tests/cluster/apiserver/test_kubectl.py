"""kubectl on a server without nodes. What needs running pods is in tests/cluster/clients."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.apiserver.conftest import Cluster

KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH; install it to run these")

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


def test_typed_creates_arrive_as_protobuf(kubectl: Kubectl) -> None:
    assert kubectl("create", "configmap", "c", "--from-literal=a=b").stdout == "configmap/c created\n"
    assert kubectl("create", "secret", "generic", "s", "--from-literal=a=b").returncode == 0
    assert kubectl("create", "namespace", "other").returncode == 0
    assert kubectl("create", "deployment", "web", "--image=web:1", "--replicas=0").returncode == 0
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}").stdout == "Yg=="
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}").stdout == "0"
    assert kubectl("scale", "deployment/web", "--replicas=4").returncode == 0
    assert kubectl("get", "deployment", "web").stdout.split()[-4] == "0/4"


def test_what_does_not_exist_is_said_so(kubectl: Kubectl) -> None:
    assert 'pods "nosuch" not found' in kubectl("get", "pod", "nosuch").stderr
    assert "the server doesn't have a resource type" in kubectl("get", "widgets").stderr
    assert "Metrics API not available" in kubectl("top", "pods").stderr
    assert 'pods "nosuch" not found' in kubectl("exec", "nosuch", "--", "ls").stderr
