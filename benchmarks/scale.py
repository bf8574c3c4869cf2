"""How an embedded cluster holds ten thousand pods: simulated on virtual nodes, for the API is what is measured."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from benchmarks.platform import scratch
from benchmarks.processes import memory_of, own_processes
from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median
from clients.errors import DeadlineExceeded, OperationFailed
from clients.kube import KubeClient
from cluster.provider import Cluster
from cluster.providers.embedded import EmbeddedProvider

NODES, PODS_PER_NODE = 100, 110
NAMESPACES, DEPLOYMENTS_EACH, REPLICAS = ("first", "second"), 5, 1_000
PODS = len(NAMESPACES) * DEPLOYMENTS_EACH * REPLICAS
LISTED = DEPLOYMENTS_EACH * REPLICAS
DEADLINE_SECONDS, POLL_SECONDS, LISTS = 240.0, 0.25, 10
REAL_LIST_SECONDS = 0.0051 / 500 * LISTED
"""A list of 500 ConfigMaps as bytes took etcd and kube-apiserver v1.36 5.1 ms; this is as much for each object, though
a ConfigMap is a fraction of the size of a pod."""


def measure(runs: int) -> list[Result]:
    """Start a cluster, fill it, and list, so many times. Raises DeadlineExceeded when the pods do not run."""
    ready: list[float] = []
    megabytes: list[float] = []
    lists: list[float] = []
    list_bytes = 0
    for _ in range(runs):
        with virtual_cluster(NODES) as (cluster, pid):
            ready.append(_fill(cluster))
            megabytes.append(memory_of(own_processes(pid)).rss / 1e6)
            seconds, list_bytes = _list_seconds(cluster)
            lists.append(seconds * 1e3)
    return [
        Result(
            f"{PODS} virtual pods scheduled and Ready",
            "s",
            tuple(ready),
            Target("under", 30.0),
            details=(f"{PODS / median(ready):.0f} pods/s; {NODES} nodes of {PODS_PER_NODE} pods",),
        ),
        Result(f"memory with {PODS} pods (RSS)", "MB", tuple(megabytes), Target("under", 1_500.0)),
        Result(
            f"list of {LISTED} pods over HTTPS",
            "ms",
            tuple(lists),
            Target("under", 150.0),
            REAL_LIST_SECONDS * 1e3,
            "of as many ConfigMaps",
            (f"{list_bytes / 1e6:.1f} MB of JSON, read to the last byte but not parsed; median of {LISTS} each run",),
        ),
    ]


@contextlib.contextmanager
def virtual_cluster(nodes: int) -> Iterator[tuple[Cluster, int]]:
    """A cluster of its own with so many virtual nodes, and its process; stopped afterwards."""
    with scratch() as folder:
        config = folder / "cluster.yaml"
        config.write_text(yaml.safe_dump({"virtual_nodes": {"count": nodes, "pods": str(PODS_PER_NODE)}}))
        provider, state_dir = EmbeddedProvider(config=config), folder / "cluster"
        cluster = provider.up(folder.name, state_dir=state_dir, detached=False)
        try:
            status = provider.status(state_dir)
            assert status is not None
            yield cluster, status.pid
        finally:
            provider.down(state_dir)


def _fill(cluster: Cluster) -> float:
    """Create the Deployments; seconds from the first of them until every pod is Ready."""
    from kubernetes import client, config

    api = config.new_client_from_config(config_file=str(cluster.kubeconfig))
    kube = KubeClient(cluster.kubeconfig)
    _until(lambda: _schedulable(kube), "virtual nodes")
    for namespace in NAMESPACES:
        client.CoreV1Api(api).create_namespace(_namespace(namespace))
    started = time.monotonic()
    for namespace in NAMESPACES:
        for number in range(DEPLOYMENTS_EACH):
            client.AppsV1Api(api).create_namespaced_deployment(namespace, _deployment(f"web-{number}"))
    _until(lambda: _all_ready(kube), f"{PODS} pods")
    elapsed = time.monotonic() - started
    api.close()
    kube.close()
    return elapsed


def _until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{what} were not ready within {DEADLINE_SECONDS:g} s", where="scale")
        time.sleep(POLL_SECONDS)  # a poll costs the cluster what it has for the pods


def _schedulable(kube: KubeClient) -> bool:
    nodes = kube.list_objects("nodes", labels="type=virtual")
    return len(nodes) == NODES and not any(node["spec"].get("taints") for node in nodes)


def _all_ready(kube: KubeClient) -> bool:
    counts = [found.get("status", {}).get("readyReplicas", 0) for found in kube.list_objects("deployments")]
    return bool(sum(counts) == PODS)


def _namespace(name: str) -> Any:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _deployment(name: str) -> Any:
    labels = {"app": name}
    requests = {"cpu": "100m", "memory": "128Mi"}
    container = {"name": "web", "image": "test/web:1", "resources": {"requests": requests}}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "nodeSelector": {"type": "virtual"}},
    }
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _list_seconds(cluster: Cluster) -> tuple[float, int]:
    """Median time of a list, and its size."""
    with connected(cluster.kubeconfig) as (connection, headers):
        times, size = [], 0
        for _ in range(LISTS):
            started = time.perf_counter()
            connection.request("GET", f"/api/v1/namespaces/{NAMESPACES[0]}/pods", headers=headers)
            answer = connection.getresponse()
            size = len(answer.read())
            times.append(time.perf_counter() - started)
            if answer.status != HTTPStatus.OK:
                raise OperationFailed(f"the list was refused with {answer.status}", where="scale")
    return median(times), size


@contextlib.contextmanager
def connected(kubeconfig: Path) -> Iterator[tuple[http.client.HTTPSConnection, dict[str, str]]]:
    """One connection to the API that is kept open, and the headers to send."""
    content = yaml.safe_load(kubeconfig.read_text())
    server, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    context = ssl.create_default_context(cadata=b64decode(server["certificate-authority-data"]).decode())
    address = urlsplit(server["server"])
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context)
    try:
        yield connection, {"Authorization": f"Bearer {user['token']}"}
    finally:
        connection.close()


BENCHMARK = Benchmark(
    "scale",
    f"{len(NAMESPACES) * DEPLOYMENTS_EACH} Deployments of {REPLICAS} created over HTTPS in a cluster with "
    f"{NODES} virtual nodes, until every replica is Ready; then one namespace of {LISTED} pods is listed",
    3,
    measure,
)
