"""How fast the embedded cluster's API reads, writes and tells watchers, also with ten thousand other objects."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.result import Benchmark, Result, Target
from benchmarks.scale import connected, virtual_cluster
from benchmarks.statistics import median, percentile
from clients.errors import DeadlineExceeded, OperationFailed
from cluster.provider import Cluster

CALLS = 500
REAL_PER_SECOND = {"create": 362.7, "get": 615.8, "patch": 373.7}
"""ConfigMaps with the same client against etcd and kube-apiserver v1.36 on a machine with 2 cores, on loopback."""
REAL_LATENCY_MS = 3.62
"""P95 from the request of a create to the parsed event, recorded the same way at an unlimited rate."""
LEVELS, WRITES = (100, 1_000, 10_000), 300
WATCHED, PER_SECOND = 1_000, 100.0
DEADLINE_SECONDS = 30.0


def measure(runs: int) -> list[Result]:
    """Each run is a new cluster. Raises DeadlineExceeded when an event does not come."""
    rates: dict[str, list[float]] = {verb: [] for verb in REAL_PER_SECOND}
    costs: list[list[float]] = []
    latencies: list[list[float]] = []
    for _ in range(runs):
        with virtual_cluster(1) as (cluster, _pid):
            for verb, rate in _rates(cluster).items():
                rates[verb].append(rate)
            latencies.append(_latencies_ms(cluster))
            costs.append(_costs_ms(cluster))
    return [*_rate_results(rates), _cost_result(costs), _latency_result(latencies)]


def _rate_results(rates: dict[str, list[float]]) -> list[Result]:
    return [
        Result(
            f"ConfigMap {verb}, Python client",
            "/s",
            tuple(rates[verb]),
            Target("at least", real),
            real,
            "of etcd + kube-apiserver",
        )
        for verb, real in REAL_PER_SECOND.items()
    ]


def _cost_result(costs: list[list[float]]) -> Result:
    medians = [median([run[level] for run in costs]) for level in range(len(LEVELS))]
    text = ", ".join(f"{cost:.2f} ms with {count}" for count, cost in zip(LEVELS, medians, strict=True))
    return Result(
        f"cost of a write with {LEVELS[-1]} objects / with {LEVELS[0]}",
        "x",
        tuple(run[-1] / run[0] for run in costs),
        Target("under", 1.2),
        details=(f"median of {WRITES} creates over one HTTPS connection: {text} ConfigMaps in the namespace",),
    )


def _latency_result(latencies: list[list[float]]) -> Result:
    p50, p95 = (median([percentile(run, share) for run in latencies]) for share in (0.5, 0.95))
    return Result(
        f"watch event latency P99 at {PER_SECOND:g} writes/s",
        "ms",
        tuple(percentile(run, 0.99) for run in latencies),
        Target("under", 5.0),
        details=(
            f"from before the request is sent until the event is parsed, {WATCHED} creates; P50 {p50:.2f} ms, "
            f"P95 {p95:.2f} ms ({p95 / REAL_LATENCY_MS:.2f}x of etcd + kube-apiserver)",
        ),
    )


def _rates(cluster: Cluster) -> dict[str, float]:
    """Calls per second of the official client, one after the other."""
    from kubernetes import client, config

    api = config.new_client_from_config(config_file=str(cluster.kubeconfig))
    core, rates = client.CoreV1Api(api), {}
    body: Any = _config_map
    calls: dict[str, Callable[[int], Any]] = {
        "create": lambda n: core.create_namespaced_config_map("default", body(f"rate-{n}")),
        "get": lambda n: core.read_namespaced_config_map(f"rate-{n}", "default"),
        "patch": lambda n: core.patch_namespaced_config_map(f"rate-{n}", "default", {"data": {"key": f"new-{n}"}}),
    }
    for verb, call in calls.items():
        times = [_timed(call, number) for number in range(CALLS)]
        rates[verb] = CALLS / sum(times)
    api.close()
    return rates


def _timed(call: Callable[[int], Any], number: int) -> float:
    started = time.perf_counter()
    call(number)
    return time.perf_counter() - started


def _config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}}


class _Writer:
    """Creates ConfigMaps in the namespace default on one connection."""

    def __init__(self, connection: Any, headers: dict[str, str]) -> None:
        self._connection = connection
        self._headers = {**headers, "Content-Type": "application/json"}

    def create(self, name: str, namespace: str = "default") -> None:
        """Create one. Raises OperationFailed when the API refuses."""
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._connection.request("POST", path, json.dumps(_config_map(name)), self._headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != HTTPStatus.CREATED:
            raise OperationFailed(f"a write was refused with {answer.status}", where=path)


def _costs_ms(cluster: Cluster) -> list[float]:
    """The median cost of a create in a namespace at each level of LEVELS."""
    costs = []
    with connected(cluster.kubeconfig) as (connection, headers):
        writer, stored = _Writer(connection, headers), 0
        connection.request("GET", "/api/v1/namespaces/kube-public", headers=headers)
        connection.getresponse().read()
        for level in LEVELS:
            while stored < level:
                writer.create(f"cost-{stored}", "kube-public")
                stored += 1
            times = [_timed(lambda n: writer.create(f"cost-{n}", "kube-public"), stored + n) for n in range(WRITES)]
            stored += WRITES
            costs.append(median(times) * 1e3)
    return costs


def _latencies_ms(cluster: Cluster) -> list[float]:
    """From before a create until its event is parsed, by another thread on another connection."""
    seen: dict[str, float] = {}
    watching, complete = threading.Event(), threading.Event()
    thread = threading.Thread(target=_watch, args=(cluster.kubeconfig, seen, watching, complete), daemon=True)
    thread.start()
    if not watching.wait(DEADLINE_SECONDS):
        raise DeadlineExceeded("the watch did not begin", where="api")
    sent: dict[str, float] = {}
    with connected(cluster.kubeconfig) as (connection, headers):
        writer, started = _Writer(connection, headers), time.perf_counter()
        for number in range(WATCHED):
            time.sleep(max(0.0, started + number / PER_SECOND - time.perf_counter()))  # the rate that is asked for
            name = f"watched-{number}"
            sent[name] = time.perf_counter()
            writer.create(name)
    if not complete.wait(DEADLINE_SECONDS):
        raise DeadlineExceeded(f"{len(seen)} of {WATCHED} events came", where="api")
    return [(seen[name] - moment) * 1e3 for name, moment in sent.items()]


def _watch(kubeconfig: Path, seen: dict[str, float], watching: threading.Event, complete: threading.Event) -> None:
    path = f"/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds={2 * DEADLINE_SECONDS:.0f}"
    with connected(kubeconfig) as (connection, headers):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        watching.set()
        while len(seen) < WATCHED and (line := answer.readline()):
            name = json.loads(line)["object"]["metadata"]["name"]
            if name.startswith("watched-"):
                seen[name] = time.perf_counter()
        complete.set()


BENCHMARK = Benchmark(
    "api",
    f"{CALLS} calls of each kind by the official Python client on one connection; creates over a bare "
    "HTTPS connection for the cost and the watch",
    3,
    measure,
)
