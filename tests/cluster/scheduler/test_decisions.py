"""The scheduler's pure decisions: requests, filters, messages, scores."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded.scheduler.filters import NodeState, failure_message, matches_term, refusals, tolerated
from cluster.embedded.scheduler.resources import amount, requests_of
from cluster.embedded.scheduler.scores import best


def node(name: str = "n1", *, taints: Any = None, labels: Any = None, cordoned: bool = False, **has: Any) -> Any:
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110", **{k.replace("__", "/"): v for k, v in has.items()}}
    spec: dict[str, Any] = {"taints": taints or []}
    if cordoned:
        spec["unschedulable"] = True
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }


def pod(name: str = "p", limits: Any = None, **spec: Any) -> Any:
    container = {"name": "c", "image": "i", "resources": {"limits": limits or {}}}
    return {"metadata": {"name": name, "namespace": "d"}, "spec": {"containers": [container], **spec}}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cpu", "500m", 500),
        ("cpu", "2", 2000),
        ("cpu", 1.5, 1500),
        ("memory", "1Gi", 2**30),
        ("memory", "1500M", 1_500_000_000),
        ("memory", "100m", 1),
        ("nvidia.com/gpu", "4", 4),
        ("memory", "1e3", 1000),
    ],
)
def test_quantities(name: str, text: object, value: int) -> None:
    assert amount(name, text) == value


def test_init_containers_count_one_at_a_time_and_sidecars_all_along() -> None:
    def asks(cpu: str, **kwargs: Any) -> Any:
        return {"name": "x", "resources": {"requests": {"cpu": cpu}}, **kwargs}

    init = [asks("2"), asks("500m", restartPolicy="Always"), asks("1800m")]
    spec = {"initContainers": init, "containers": [asks("1"), asks("500m")]}
    assert requests_of({"spec": spec})["cpu"] == 2300
    spec["containers"] = [asks("2")]
    assert requests_of({"spec": spec})["cpu"] == 2500


def test_the_recorded_message_when_gpus_are_taken() -> None:
    state = NodeState(node(**{"nvidia.com__gpu": "4"}))
    state.add(pod("a", {"nvidia.com/gpu": "2"}))
    state.add(pod("b", {"nvidia.com/gpu": "2"}))
    assert failure_message([refusals(pod("c", {"nvidia.com/gpu": "2"}), state)]) == (
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_the_recorded_message_when_the_node_could_never_do_it() -> None:
    state = NodeState(node(**{"nvidia.com__gpu": "4"}))
    assert failure_message([refusals(pod("c", {"nvidia.com/gpu": "8"}), state)]) == (
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_several_reasons_are_counted_and_sorted() -> None:
    full = NodeState(node("n1"))
    full.add(pod("a", {"cpu": "4", "memory": "8Gi"}))
    tainted = NodeState(node("n2", taints=[{"key": "k", "effect": "NoSchedule"}]))
    asked = pod("c", {"cpu": "1", "memory": "1Gi"})
    assert failure_message([refusals(asked, full), refusals(asked, tainted)]) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had untolerated taint(s). "
        "no new claims to deallocate, preemption: 0/2 nodes are available: "
        "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    )


def test_no_nodes_at_all() -> None:
    assert failure_message([]) == "no nodes available to schedule pods"


@pytest.mark.parametrize(
    ("state", "asked", "text"),
    [
        (node(cordoned=True), pod(), "node(s) were unschedulable"),
        (node(), pod(nodeSelector={"a": "b"}), "node(s) didn't match Pod's node affinity/selector"),
        (node(taints=[{"key": "k", "effect": "NoExecute"}]), pod(), "node(s) had untolerated taint(s)"),
        (node(pods="0"), pod(), "Too many pods"),
    ],
)
def test_each_filter_has_its_words(state: Any, asked: Any, text: str) -> None:
    assert [reason.text for reason in refusals(asked, NodeState(state))] == [text]


def test_required_node_affinity_is_a_choice_of_terms() -> None:
    gpu = node(labels={"gpu": "h100", "slots": "8"})
    assert matches_term({"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100"]}]}, gpu)
    assert matches_term({"matchExpressions": [{"key": "slots", "operator": "Gt", "values": ["4"]}]}, gpu)
    assert not matches_term({"matchExpressions": [{"key": "slots", "operator": "Lt", "values": ["4"]}]}, gpu)
    assert matches_term({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}, gpu)
    assert not matches_term({}, gpu)


@pytest.mark.parametrize(
    ("toleration", "covered"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: Any, covered: bool) -> None:
    assert tolerated([toleration], {"key": "k", "value": "v", "effect": "NoSchedule"}) is covered


def test_pods_of_one_owner_are_spread() -> None:
    owned = pod("a", {"cpu": "1"})
    owned["metadata"]["ownerReferences"] = [{"controller": True, "uid": "u"}]
    busy = NodeState(node("n1"))
    busy.add(owned)
    free = NodeState(node("n2"))
    free.add(pod("x", {"cpu": "2"}))
    assert best(owned, [busy, free]).name == "n2"


def test_the_emptier_node_wins() -> None:
    busy, free = NodeState(node("n1")), NodeState(node("n2"))
    busy.add(pod("x", {"cpu": "2"}))
    assert best(pod(), [busy, free]).name == "n2"
