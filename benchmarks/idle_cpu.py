"""What the embedded cluster costs while five pods run and nobody asks anything of them."""

from __future__ import annotations

import time

from benchmarks.platform import SUBJECT, Platform, installed_platform, registered
from benchmarks.processes import container_processes, cpu_shares, memory_of, own_processes
from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median
from clients.errors import OperationFailed
from clients.kube import KubeClient

WINDOW_SECONDS, SETTLE_SECONDS, PODS = 20.0, 3.0, 5


def measure(runs: int) -> list[Result]:
    """Measure windows of 20 s one after the other. Raises OperationFailed when there are not exactly five pods."""
    with installed_platform(replicas=PODS - 3) as platform:
        registered(platform)
        _check_pods(platform)
        time.sleep(SETTLE_SECONDS)  # lets what starts become idle
        windows = [_window(platform.pid) for _ in range(runs)]
        _check_pods(platform)
        memory = memory_of(own_processes(platform.pid))
    names = sorted(windows[0][1])
    pods = {name: median([containers[name] * 100 for _, containers in windows]) for name in names}
    return [
        Result(
            "idle cluster CPU with 5 pods",
            "% of a core",
            tuple(share * 100 for share, _ in windows),
            Target("under", 5.0),
            details=(
                "every pod has startup, readiness and liveness probes of 1 s; server and watchdog are counted",
                f"their memory with these pods: RSS {memory.rss / 1e6:.0f} MB, PSS {memory.pss / 1e6:.0f} MB",
                f"the pods' own processes, not counted: {sum(pods.values()):.1f} % of a core together ("
                + ", ".join(f"{name.rsplit(' ', 1)[0]} {share:.1f} %" for name, share in pods.items())
                + ")",
            ),
        )
    ]


def _window(pid: int) -> tuple[float, dict[str, float]]:
    """Shares of a core: of the cluster, and of each process of a container."""
    own = {f"cluster {process.pid}": process for process in own_processes(pid)}
    shares = cpu_shares(own | container_processes(pid), WINDOW_SECONDS)
    return sum(shares[name] for name in own), {name: share for name, share in shares.items() if name not in own}


def _check_pods(platform: Platform) -> None:
    kube = KubeClient(platform.cluster.kubeconfig)
    try:
        pods = kube.list_objects("pods", SUBJECT.namespace)
    finally:
        kube.close()
    running = sum(pod["status"]["phase"] == "Running" for pod in pods)
    restarts = sum(status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"])
    if (running, len(pods), restarts) != (PODS, PODS, 0):
        raise OperationFailed(f"{running} of {len(pods)} pods run, with {restarts} restarts", where="idle-cpu")


BENCHMARK = Benchmark(
    "idle-cpu",
    f"CPU time of the cluster's own processes in windows of {WINDOW_SECONDS:g} s, no load",
    3,
    measure,
)
