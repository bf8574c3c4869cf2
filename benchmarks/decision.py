"""How long a decision takes over snapshots of many pods, and how that grows with their number."""

from __future__ import annotations

import gc
import time
from pathlib import Path

from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median
from remediation.decide import decide
from remediation.diagnose import diagnose
from remediation.model import Target as RemediationTarget
from remediation.plan import plan
from remediation.policy import Policy
from remediation.remedy import Situation
from remediation.snapshot import (
    Container,
    Deployment,
    HelmRevision,
    Node,
    Pod,
    RegistryEntry,
    ReplicaSet,
    Snapshot,
    Termination,
    Traffic,
)

SMALL, LARGE = 1_000, 10_000
GOOD_BYTES, BAD_BYTES = 512 * 2**20, 64 * 2**20
SHARE_KILLED = 0.3
_TARGET = RemediationTarget("r", "system", "m", router_url="http://router", chart=Path("chart"))


def snapshot_of(pods: int) -> Snapshot:
    """A deployment of so many pods in which nearly a third is killed for memory."""
    killed = int(pods * SHARE_KILLED)
    good = Container("vllm", ready=True, memory_limit_bytes=GOOD_BYTES)
    bad = Container(
        "vllm",
        waiting_reason="CrashLoopBackOff",
        restart_count=3,
        last_terminated=Termination("OOMKilled", 137),
        memory_limit_bytes=BAD_BYTES,
    )
    serving = [
        Pod(f"good-{n}", "good", "Running", ready=True, stable=True, node=f"n{n % 100}", containers=(good,), gpus=1)
        for n in range(pods - killed)
    ]
    failing = [Pod(f"bad-{n}", "bad", "Running", node=f"n{n % 100}", containers=(bad,), gpus=1) for n in range(killed)]
    return Snapshot(
        0.0,
        deployment=Deployment("r", pods, max_surge=1, max_unavailable=1, gpus_per_pod=1),
        pods=(*serving, *failing),
        replica_sets=(
            ReplicaSet("good", 1, pods, len(serving), False, "good", GOOD_BYTES),
            ReplicaSet("bad", 2, pods, 0, True, "bad", BAD_BYTES),
        ),
        helm=(
            HelmRevision(1, "superseded", fingerprint="good", memory_limit_bytes=GOOD_BYTES),
            HelmRevision(2, "deployed", fingerprint="bad", memory_limit_bytes=BAD_BYTES, chart="vllm-deployment"),
        ),
        values={"resources": {"limits": {"memory": "64Mi"}}},
        registry=RegistryEntry("m", "production", "ready"),
        traffic=Traffic(1000, 10, 0, 0.01, 1.0, 10.0, "router"),
        nodes=tuple(Node(f"n{n}", memory_bytes=2**36, gpus=200, gpus_in_use=100) for n in range(100)),
    )


def decision_seconds(snapshot: Snapshot, policy: Policy) -> float:
    """From a snapshot to a plan: diagnose, decide, plan."""
    gc.collect()
    started = time.perf_counter()
    situation = Situation(snapshot, policy, _TARGET, tuple(diagnose(snapshot, policy)))
    planned = plan(decide(situation), situation)
    took = time.perf_counter() - started
    assert planned.actions, planned.refused
    return took


def measure(runs: int) -> list[Result]:
    """Decide over both sizes, several times."""
    policy = Policy()
    times = {pods: [decision_seconds(snapshot_of(pods), policy) for _ in range(runs)] for pods in (SMALL, LARGE)}
    small, large = (tuple(1000 * seconds for seconds in times[pods]) for pods in (SMALL, LARGE))
    growth = median(large) / median(small) / (LARGE / SMALL)
    return [
        Result(f"decision over {SMALL:,} pods", "ms", small, Target("under", 100.0)),
        Result(f"decision over {LARGE:,} pods", "ms", large),
        Result("cost per pod, 10,000 / 1,000 pods", "x", (growth,), Target("under", 1.5)),
    ]


BENCHMARK = Benchmark(
    "decision",
    f"diagnose, decide and plan over one snapshot, {SHARE_KILLED:.0%} of its pods killed for memory",
    7,
    measure,
)
