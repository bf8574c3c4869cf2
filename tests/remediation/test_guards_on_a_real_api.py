"""What keeps a remediation from doing harm, against a real API server: limits, the lease, and actions done once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from clients.errors import Conflict
from clients.kube import KubeClient
from cluster.providers.embedded import EmbeddedProvider
from remediation.actions.base import Tools
from remediation.actions.registry import EnableModel
from remediation.actions.workload import (
    PatchStrategy,
    PauseAutoscaling,
    RestartPod,
    RestoreStrategy,
    ResumeAutoscaling,
    ScaleWorkload,
)
from remediation.engine import temporary_changes
from remediation.lease import Lease
from remediation.ledger import Ledger
from remediation.observe import Observer
from remediation.policy import Policy
from tests.remediation.samples import RELEASE, TARGET

pytestmark = pytest.mark.cluster
NAMESPACE = TARGET.namespace
POLICY = Policy(hourly_limits={"restarts": 2})


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeClient]:
    state = tmp_path_factory.mktemp("guards")
    provider = EmbeddedProvider()
    client = KubeClient(provider.up("guards", state_dir=state, detached=False).kubeconfig)
    client.create("namespaces", "", {"metadata": {"name": NAMESPACE}})
    yield client
    client.close()
    provider.down(state)


@pytest.fixture
def tools(kube: KubeClient) -> Tools:
    serving: Any = SimpleNamespace(observe=lambda: SimpleNamespace(healthy=2))
    nothing: Any = None
    return Tools(kube, nothing, serving, TARGET, Policy(), None, threading.Event(), time.monotonic() + 10)


def deployment(kube: KubeClient, name: str, labels: dict[str, str], replicas: int = 3) -> None:
    match = {"app": name}
    template = {"metadata": {"labels": match}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": match}, "template": template}
    kube.create("deployments", NAMESPACE, {"metadata": {"name": name, "labels": labels}, "spec": spec})


def read(kube: KubeClient, resource: str, name: str) -> dict[str, Any]:
    found = kube.read(resource, NAMESPACE, name)
    assert found is not None
    return found


def test_the_hourly_limit_holds_across_remediations_and_ends_with_the_hour(kube: KubeClient) -> None:
    now = [time.time()]
    first, second = (Ledger(kube, NAMESPACE, "limits", POLICY, clock=lambda: now[0]) for _ in range(2))
    for number, ledger in enumerate((first, second)):
        action = RestartPod(f"pod-{number}", "u")
        assert ledger.exhausted(action) == ""
        ledger.begin(action, repr(action))
        ledger.end(action, repr(action), ok=True, changed=True)
    assert "2 of 2 restarts are spent" in first.exhausted(RestartPod("pod-9", "u"))
    assert first.exhausted(EnableModel()) == "", "what the policy does not limit is not limited"
    now[0] += 3601
    assert first.exhausted(RestartPod("pod-9", "u")) == ""


def test_what_turned_out_to_be_done_or_failed_takes_nothing_from_the_limit(kube: KubeClient) -> None:
    ledger = Ledger(kube, NAMESPACE, "unspent", POLICY)
    for name, ok in (("a", True), ("b", False), ("c", True)):
        ledger.begin(RestartPod(name, "u"), name)
        ledger.end(RestartPod(name, "u"), name, ok=ok, changed=False)
    assert ledger.exhausted(RestartPod("d", "u")) == ""


def test_an_action_that_was_cut_off_and_is_done_again_counts_once(kube: KubeClient) -> None:
    ledger, action = Ledger(kube, NAMESPACE, "cut", POLICY), RestartPod("p", "u")
    ledger.begin(action, "p")
    again = Ledger(kube, NAMESPACE, "cut", POLICY)
    again.begin(action, "p")
    again.end(action, "p", ok=True, changed=True)
    assert [(e.what, e.state) for e in again.entries()] == [("p", "done")]


def test_no_entry_is_lost_when_two_write_at_once(kube: KubeClient) -> None:
    def write(worker: int) -> None:
        ledger = Ledger(kube, NAMESPACE, "busy", Policy())
        for number in range(4):
            while True:
                try:
                    ledger.begin(RestartPod("p", "u"), f"{worker}-{number}")
                    break
                except Conflict:
                    continue

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert len(Ledger(kube, NAMESPACE, "busy", Policy()).entries()) == 8


def lease(kube: KubeClient, release: str, lost: threading.Event | None = None) -> Lease:
    return Lease(kube, NAMESPACE, release, 1, (lost or threading.Event()).set)


def test_of_two_remediations_one_waits_until_the_other_is_done(kube: KubeClient) -> None:
    first, second, stop = lease(kube, "one"), lease(kube, "one"), threading.Event()
    assert first.acquire(stop, time.monotonic())
    assert not second.acquire(stop, time.monotonic() + 2.5), "it is renewed, so it does not expire"
    first.release_it()
    assert second.acquire(stop, time.monotonic() + 1)
    second.release_it()


def test_a_remediation_that_died_is_taken_over_when_its_lease_has_expired(kube: KubeClient) -> None:
    dead, heir, stop = lease(kube, "dead"), lease(kube, "dead"), threading.Event()
    assert dead.acquire(stop, time.monotonic())
    dead._stop.set()  # it renews no more, and gives nothing up
    began = time.monotonic()
    assert heir.acquire(stop, time.monotonic() + 10)
    assert time.monotonic() - began >= 1.0
    heir.release_it()


def test_whose_lease_is_taken_by_another_is_told(kube: KubeClient) -> None:
    lost = threading.Event()
    held = lease(kube, "lost", lost)
    assert held.acquire(threading.Event(), time.monotonic())
    kube.merge_patch("leases", NAMESPACE, held.name, {"spec": {"holderIdentity": "somebody"}})
    assert lost.wait(5)
    held.release_it()
    assert read(kube, "leases", held.name)["spec"]["holderIdentity"] == "somebody"


def test_a_pod_is_restarted_once_and_its_successor_of_the_same_name_is_left_alone(
    kube: KubeClient, tools: Tools
) -> None:
    keeper = kube.create("configmaps", NAMESPACE, {"metadata": {"name": "keeper"}})["metadata"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": keeper["uid"], "controller": True}
    pod = {
        "metadata": {"name": "p", "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
    }
    uid = kube.create("pods", NAMESPACE, pod)["metadata"]["uid"]
    restart = RestartPod("p", uid, grace_seconds=0)
    assert restart.perform(tools).changed
    successor = kube.create("pods", NAMESPACE, pod)["metadata"]["uid"]
    again = restart.perform(tools)
    assert (again.ok, again.changed) == (True, "")
    assert read(kube, "pods", "p")["metadata"]["uid"] == successor


def test_a_pod_that_nobody_would_make_again_is_not_deleted(kube: KubeClient, tools: Tools) -> None:
    pod = {"metadata": {"name": "single"}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    uid = kube.create("pods", NAMESPACE, pod)["metadata"]["uid"]
    assert not RestartPod("single", uid).perform(tools).ok
    assert read(kube, "pods", "single")


NON_CRITICAL = {"gameday.dev/criticality": "non-critical"}
OWN = {"app.kubernetes.io/instance": RELEASE}


@pytest.mark.parametrize(
    ("name", "labels", "replicas", "allowed"),
    [
        ("batch", NON_CRITICAL, 0, True),
        ("batch-unlabelled", {}, 0, False),
        ("batch-critical", {"gameday.dev/criticality": "critical"}, 0, False),
        ("redis", NON_CRITICAL, 0, False),
        ("own-to-what-serves", OWN, 2, True),
        ("own-below-what-serves", OWN, 1, False),
        ("own-to-zero", OWN, 0, False),
    ],
)
def test_only_what_may_be_scaled_down_is(kube, tools, name, labels, replicas, allowed) -> None:
    deployment(kube, name, labels)
    result = ScaleWorkload(name, NAMESPACE, replicas).perform(tools)
    assert result.ok is allowed, result.detail
    assert read(kube, "deployments", name)["spec"]["replicas"] == (replicas if allowed else 3)


def test_a_workload_that_was_scaled_down_remembers_from_where_until_it_is_back(kube: KubeClient, tools: Tools) -> None:
    deployment(kube, "remembers", NON_CRITICAL, replicas=5)
    for replicas in (3, 0):
        assert ScaleWorkload("remembers", NAMESPACE, replicas).perform(tools).changed
        kept = read(kube, "deployments", "remembers")["metadata"]["annotations"]
        assert kept["remediation.gameday.dev/replicas-before"] == "5"
    assert ScaleWorkload("remembers", NAMESPACE, 0).perform(tools).changed == ""
    assert ScaleWorkload("remembers", NAMESPACE, 5).perform(tools).changed
    assert "remediation.gameday.dev/replicas-before" not in (
        read(kube, "deployments", "remembers")["metadata"].get("annotations") or {}
    )


def test_a_strategy_is_changed_once_and_put_back_to_what_its_owner_wrote(kube: KubeClient, tools: Tools) -> None:
    deployment(kube, RELEASE, OWN)
    before = read(kube, "deployments", RELEASE)["spec"]["strategy"]
    for _ in range(2):
        PatchStrategy(RELEASE, 0, 1).perform(tools)
    changed = read(kube, "deployments", RELEASE)
    assert changed["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    observer = Observer(kube, TARGET, Policy(), SimpleNamespace(metrics=lambda _: ""), rules=())  # type: ignore[arg-type]
    (back,) = temporary_changes(observer.observe(full=True))
    assert back == RestoreStrategy(RELEASE)
    assert back.perform(tools).changed
    assert read(kube, "deployments", RELEASE)["spec"]["strategy"] == before
    assert back.perform(tools).changed == ""


@pytest.mark.parametrize("behavior", [None, {"scaleDown": {"stabilizationWindowSeconds": 60}}])
def test_an_autoscaler_is_paused_once_and_works_again_as_before(kube: KubeClient, tools: Tools, behavior) -> None:
    name = "hpa-plain" if behavior is None else "hpa-tuned"
    spec = {"maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": RELEASE, "apiVersion": "apps/v1"}}
    kube.create(
        "horizontalpodautoscalers",
        NAMESPACE,
        {"metadata": {"name": name}, "spec": {**spec, **({"behavior": behavior} if behavior else {})}},
    )
    before = read(kube, "horizontalpodautoscalers", name)["spec"]
    assert PauseAutoscaling(name).perform(tools).changed
    assert PauseAutoscaling(name).perform(tools).changed == ""
    paused = read(kube, "horizontalpodautoscalers", name)["spec"]["behavior"]
    assert {paused[direction]["selectPolicy"] for direction in ("scaleUp", "scaleDown")} == {"Disabled"}
    assert ResumeAutoscaling(name).perform(tools).changed
    assert ResumeAutoscaling(name).perform(tools).changed == ""
    after = read(kube, "horizontalpodautoscalers", name)["spec"]
    assert json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True)
