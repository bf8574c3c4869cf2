"""The metrics API: what containers really use, and how clients read it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from cluster.embedded.quantity import parse_quantity
from tests.cluster.clients.conftest import Kubectl, wait_for

ROOT = "/apis/metrics.k8s.io/v1beta1"
CHUNK = 40 * 1024 * 1024

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {app: measured}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: half
    image: lab/app:v1
    resources: {limits: {cpu: 500m}}
    command: [sh, -c, "while true; do :; done"]
  - name: idle
    image: lab/app:v1
    command: [sleep, "1000"]
---
apiVersion: v1
kind: Pod
metadata: {name: fat, labels: {app: other}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: lab/app:v1
    command: [python3, -c, "import time; held = bytearray(b'x') * 41943040; time.sleep(1000)"]
"""


@pytest.fixture
def measured(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=PODS)
    assert pod_metrics(kubectl) == [], "before a window has passed there is nothing to say"
    kubectl.ok("wait", "--for=condition=Ready", "pod/busy", "pod/fat", "--timeout=20s")
    wait_for(lambda: len(pod_metrics(kubectl)) == 2, "both pods are measured")


def pod_metrics(kubectl: Kubectl, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(
        kubectl.ok("get", "--raw", f"{ROOT}/namespaces/{kubectl.namespace}/pods{query}")
    )["items"]
    return items


def used(kubectl: Kubectl, pod: str, container: str, resource: str) -> Decimal:
    one = json.loads(kubectl.ok("get", "--raw", f"{ROOT}/namespaces/{kubectl.namespace}/pods/{pod}"))
    (usage,) = [c["usage"] for c in one["containers"] if c["name"] == container]
    return parse_quantity(usage[resource])


@pytest.mark.usefixtures("measured")
def test_usage_is_what_the_processes_use(kubectl: Kubectl) -> None:
    wait_for(lambda: 0.25 < used(kubectl, "busy", "half", "cpu") < 0.65, "half a core, as limited")
    assert used(kubectl, "busy", "idle", "cpu") < Decimal("0.02")
    wait_for(lambda: CHUNK <= used(kubectl, "fat", "app", "memory") < CHUNK + 20 * 1024 * 1024, "40 MiB and Python")


@pytest.mark.usefixtures("measured")
def test_the_answers_have_the_shape_of_metrics_server(kubectl: Kubectl) -> None:
    (busy,) = pod_metrics(kubectl, "?labelSelector=app%3Dmeasured")
    assert set(busy) == {"metadata", "timestamp", "window", "containers"}
    assert (busy["metadata"]["name"], busy["metadata"]["labels"]) == ("busy", {"app": "measured"})
    assert re.fullmatch(r"1(\.\d+)?s", busy["window"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", busy["timestamp"])
    assert re.fullmatch(r"\d+n", busy["containers"][0]["usage"]["cpu"])
    assert re.fullmatch(r"\d+Ki", busy["containers"][0]["usage"]["memory"])
    listed = json.loads(kubectl.ok("get", "--raw", f"{ROOT}/nodes"))
    assert (listed["kind"], listed["apiVersion"]) == ("NodeMetricsList", "metrics.k8s.io/v1beta1")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["node-1", "node-2"]
    missing = kubectl("get", "--raw", f"{ROOT}/namespaces/{kubectl.namespace}/pods/nosuch")
    assert f'podmetrics.metrics.k8s.io "{kubectl.namespace}/nosuch" not found' in missing.err
    assert 'nodemetrics.metrics.k8s.io "nosuch" not found' in kubectl("get", "--raw", f"{ROOT}/nodes/nosuch").err


@pytest.mark.usefixtures("measured")
def test_top_prints_pods_containers_and_nodes(kubectl: Kubectl) -> None:
    rows = [line.split() for line in kubectl.ok("top", "pods").splitlines()]
    assert rows[0] == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert [row[0] for row in rows[1:]] == ["busy", "fat"]
    assert re.fullmatch(r"\d+m", rows[1][1])
    assert re.fullmatch(r"\d+Mi", rows[2][2])
    assert "half" in kubectl.ok("top", "pod", "busy", "--containers")
    assert [line.split()[0] for line in kubectl.ok("top", "pods", "--sort-by=memory").splitlines()[1:]] == [
        "fat",
        "busy",
    ]
    header, *nodes = kubectl.ok("top", "nodes").splitlines()
    assert header.split() == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    assert [line.split()[0] for line in nodes] == ["node-1", "node-2"]
    assert all(re.fullmatch(r"\d+%", line.split()[2]) for line in nodes)


@pytest.mark.usefixtures("measured")
def test_the_group_is_discovered_and_does_not_hide_pods(kubectl: Kubectl) -> None:
    assert "metrics.k8s.io/v1beta1" in kubectl.ok("api-versions").split()
    rows = [line.split() for line in kubectl.ok("api-resources", "--api-group=metrics.k8s.io").splitlines()]
    assert rows[1:] == [
        ["nodes", "metrics.k8s.io/v1beta1", "false", "NodeMetrics"],
        ["pods", "metrics.k8s.io/v1beta1", "true", "PodMetrics"],
    ]
    assert kubectl.ok("get", "pods").split()[:2] == ["NAME", "READY"]
    header, row, *_ = kubectl.ok("get", "pods.metrics.k8s.io").splitlines()
    assert (header.split(), row.split()[0]) == (["NAME", "CPU", "MEMORY", "WINDOW"], "busy")
    refused = kubectl("delete", "pods.metrics.k8s.io", "busy")
    assert "the server does not allow this method on the requested resource" in refused.err


@pytest.mark.usefixtures("measured")
def test_the_python_client_reads_usage(kube: Any, namespace: str) -> None:
    from kubernetes import client

    listed = client.CustomObjectsApi(kube).list_namespaced_custom_object("metrics.k8s.io", "v1beta1", namespace, "pods")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["busy", "fat"]


def test_a_pod_that_is_gone_is_not_measured_any_more(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=PODS)
    wait_for(lambda: len(pod_metrics(kubectl)) == 2, "both pods are measured")
    kubectl.ok("delete", "pod", "busy", "--now")
    assert [item["metadata"]["name"] for item in pod_metrics(kubectl)] == ["fat"]
