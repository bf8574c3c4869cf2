"""The Helm 4 engine: release Secrets in protobuf, server-side apply, streaming lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.cluster.apiserver.conftest import Cluster

pytestmark = pytest.mark.helm

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-config"}
data: {greeting: "{{ .Values.greeting }}"}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}", labels: {app: web}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:{{ .Values.tag }}"}]
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text("greeting: hello\nreplicas: 2\ntag: v1\n")
    (folder / "templates" / "config.yaml").write_text(CONFIG_MAP)
    (folder / "templates" / "deployment.yaml").write_text(DEPLOYMENT)
    return folder


@pytest.fixture
def helm(cluster: Cluster) -> Iterator[Any]:
    from helm_python import Config

    with Config(kubeconfig_path=str(cluster.kubeconfig), namespace="system") as config:
        yield config


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(helm: Any, chart: Path, kube: Any) -> None:
    core, apps = client.CoreV1Api(kube), client.AppsV1Api(kube)
    assert helm.install(str(chart), "demo")["status"] == "deployed"
    assert core.read_namespaced_config_map("demo-config", "system").data == {"greeting": "hello"}
    helm.upgrade(str(chart), "demo", {"greeting": "bonjour", "tag": "v2"})
    assert core.read_namespaced_config_map("demo-config", "system").data == {"greeting": "bonjour"}
    helm.rollback("demo")
    assert core.read_namespaced_config_map("demo-config", "system").data == {"greeting": "hello"}
    statuses = [(entry["revision"], entry["status"]) for entry in helm.history("demo")]
    assert statuses == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    helm.uninstall("demo")
    assert apps.list_namespaced_deployment("system").items == []
    assert core.list_namespaced_secret("system").items == []


def test_a_release_secret_arrives_as_helm_meant_it(helm: Any, chart: Path, kube: Any) -> None:
    helm.install(str(chart), "demo")
    secret = client.CoreV1Api(kube).read_namespaced_secret("sh.helm.release.v1.demo.v1", "system")
    assert secret.type == "helm.sh/release.v1"
    labels = secret.metadata.labels
    assert (labels["name"], labels["owner"], labels["status"], labels["version"]) == (
        "demo", "helm", "deployed", "1",
    )  # fmt: skip
    assert set(secret.data) == {"release"}
