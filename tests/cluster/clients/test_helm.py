"""The Helm engine against a running cluster: waiting, hooks, failures, and what a killed Helm leaves behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.errors import DeadlineExceeded, OperationFailed
from clients.helm import HelmClient, ReleaseNotFound
from tests.cluster.clients.conftest import wait_for
from tests.cluster.clients.manifests import DEPLOYMENT, SERVICE
from tests.endtoend.harness import environment

pytestmark = pytest.mark.helm

PROBE = """
apiVersion: v1
kind: Pod
metadata:
  name: "{{ .Release.Name }}-test"
  annotations: {"helm.sh/hook": test, "helm.sh/hook-delete-policy": before-hook-creation}
spec:
  restartPolicy: Never
  containers:
  - {name: app, image: "lab/app:v1", command: [sh, -c, "echo tested; exit {{ .Values.testExit }}"]}
"""
KILLED = """
import sys
from pathlib import Path
from clients.helm import HelmClient
with HelmClient(sys.argv[1], Path(sys.argv[2])) as helm:
    helm.rollback("web", 2, wait_seconds=300)
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text("tag: v1\nreplicas: 2\ntestExit: 0\n")
    text = DEPLOYMENT.replace("lab/app:v1", "lab/app:{{ .Values.tag }}").replace(
        "replicas: 2", "replicas: {{ .Values.replicas }}"
    )
    (folder / "templates" / "deployment.yaml").write_text(text)
    (folder / "templates" / "service.yaml").write_text(SERVICE)
    (folder / "templates" / "test.yaml").write_text(PROBE)
    return folder


@pytest.fixture
def helm(kubeconfig: Path, namespace: str) -> Iterator[HelmClient]:
    with HelmClient(namespace, kubeconfig) as client:
        yield client


@pytest.fixture
def engine(kubeconfig: Path, namespace: str) -> Iterator[Any]:
    """The engine itself, for what the project's client has no call for."""
    from helm_python import Config

    with Config(kubeconfig_path=str(kubeconfig), namespace=namespace) as config:
        yield config


def ready(kube: Any, namespace: str) -> tuple[int, str]:
    """(ready replicas, image) of the Deployment."""
    from kubernetes import client

    found = client.AppsV1Api(kube).read_namespaced_deployment("web", namespace)
    return found.status.ready_replicas or 0, found.spec.template.spec.containers[0].image


def test_a_release_lives(helm: HelmClient, chart: Path, kube: Any, namespace: str) -> None:
    from helm_python import parse_set_string
    from kubernetes import client

    assert helm.install("web", chart, wait_seconds=30).status == "deployed"
    assert ready(kube, namespace) == (2, "lab/app:v1"), "waiting ends when the pods are ready"
    changed = helm.upgrade("web", chart, parse_set_string("tag=v2,replicas=3"), wait_seconds=30)
    assert (changed.revision, changed.status) == (2, "deployed")
    assert ready(kube, namespace) == (3, "lab/app:v2")
    helm.rollback("web", 1, wait_seconds=30)
    assert ready(kube, namespace) == (2, "lab/app:v1")
    statuses = [(entry.revision, entry.status) for entry in helm.history("web")]
    assert statuses == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert helm.status("web").revision == 3
    helm.uninstall("web", wait_seconds=30)
    with pytest.raises(ReleaseNotFound):
        helm.status("web")
    assert client.CoreV1Api(kube).list_namespaced_secret(namespace, label_selector="owner=helm").items == []


def test_test_hooks_run_and_can_fail(helm: HelmClient, engine: Any, chart: Path) -> None:
    from helm_python import HelmError

    helm.install("web", chart, wait_seconds=30)
    engine.test("web", timeout=30)
    helm.upgrade("web", chart, {"testExit": 3})
    with pytest.raises(HelmError, match=r"[Ff]ailed"):
        engine.test("web", timeout=30)


def test_an_upgrade_that_never_gets_ready_fails_and_is_rolled_back(
    helm: HelmClient, chart: Path, kube: Any, namespace: str
) -> None:
    helm.install("web", chart, wait_seconds=30)
    with pytest.raises(DeadlineExceeded):
        helm.upgrade("web", chart, {"tag": "v9"}, wait_seconds=2)
    assert helm.status("web").status == "failed"
    helm.rollback("web", 1, wait_seconds=30)
    assert ready(kube, namespace) == (2, "lab/app:v1")
    assert [entry.status for entry in helm.history("web")] == ["superseded", "failed", "deployed"]


def test_a_helm_that_is_killed_in_a_rollback_leaves_it_pending(
    helm: HelmClient, chart: Path, kube: Any, kubeconfig: Path, namespace: str
) -> None:
    helm.install("web", chart, wait_seconds=30)
    helm.upgrade("web", chart, {"tag": "v9"})
    helm.upgrade("web", chart, {"tag": "v1"}, wait_seconds=30)
    command = [sys.executable, "-c", KILLED, namespace, str(kubeconfig)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        wait_for(lambda: helm.history("web")[-1].status == "pending-rollback", "the rollback is under way", seconds=30)
        with pytest.raises(OperationFailed, match="another operation"):
            helm.upgrade("web", chart, {"tag": "v2"})
        killed.kill()
    assert helm.status("web").status == "pending-rollback"
    with pytest.raises(OperationFailed, match=r"another operation \(install/upgrade/rollback\) is in progress"):
        helm.upgrade("web", chart, {"tag": "v2"})
    helm.rollback("web", 3, wait_seconds=30)
    assert ready(kube, namespace) == (2, "lab/app:v1")
    assert helm.upgrade("web", chart, {"tag": "v2"}, wait_seconds=30).status == "deployed"
