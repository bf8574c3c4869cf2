"""Filters, scores and messages of the scheduler."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.resources import Object
from cluster.embedded.scheduler.fit import choose, explain, states_of

NO_VICTIMS = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
HOPELESS = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


def node(name: str = "gpu-node-1", *, gpus: int = 4, **spec: Any) -> Object:
    allocatable = {"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "metadata": {"name": name, "labels": {"node-type": "gpu"}},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }


def pod(name: str, *, on: str = "", **wants: Any) -> Object:
    spec: dict[str, Any] = {"containers": [{"resources": {"requests": wants.pop("requests", {})}}], **wants}
    return {"metadata": {"name": name, "uid": name}, "spec": spec | ({"nodeName": on} if on else {})}


def gpus(count: int) -> dict[str, Any]:
    return {"requests": {"nvidia.com/gpu": str(count)}}


@pytest.mark.parametrize(
    ("taken", "wants", "spec", "message"),
    [
        (4, gpus(2), {}, f"1 Insufficient nvidia.com/gpu. no new claims to deallocate, {NO_VICTIMS}"),
        (0, gpus(9), {}, f"1 Insufficient nvidia.com/gpu. no new claims to deallocate, {HOPELESS}"),
        (0, {}, {"unschedulable": True}, f"1 node(s) were unschedulable. no new claims to deallocate, {HOPELESS}"),
        (
            0, {}, {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            f"1 node(s) had untolerated taint(s). no new claims to deallocate, {HOPELESS}",
        ),
        (
            0, {"nodeSelector": {"node-type": "cpu"}}, {},
            f"1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, {HOPELESS}",
        ),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_fit_is_told_why_in_the_real_words(
    taken: int, wants: dict[str, Any], spec: dict[str, Any], message: str
) -> None:
    running = [pod(f"r{n}", on="gpu-node-1", requests={"nvidia.com/gpu": "1"}) for n in range(taken)]
    states = list(states_of([node(**spec)], running).values())
    waiting = pod("waiting", **wants)
    assert choose(waiting, states) is None
    assert explain(waiting, states) == f"0/1 nodes are available: {message}"


def test_a_tolerated_taint_is_no_obstacle() -> None:
    states = list(states_of([node(taints=[{"key": "gpu", "value": "true", "effect": "NoSchedule"}])], []).values())
    tolerations = [{"key": "gpu", "operator": "Equal", "value": "true", "effect": "NoSchedule"}]
    assert choose(pod("p", tolerations=tolerations), states) is not None


def test_a_finished_pod_holds_nothing() -> None:
    done = pod("done", on="gpu-node-1", requests={"nvidia.com/gpu": "4"}) | {"status": {"phase": "Succeeded"}}
    states = list(states_of([node()], [done]).values())
    assert choose(pod("p", requests={"nvidia.com/gpu": "4"}), states) is not None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9_000), st.integers(0, 30)), max_size=40))
def test_no_node_is_ever_over_committed(wants: list[tuple[int, int, int]]) -> None:
    nodes = [node("a", gpus=4), node("b", gpus=2)]
    placed: list[Object] = []
    for number, (gpus, millicores, gibibytes) in enumerate(wants):
        requests = {"nvidia.com/gpu": str(gpus), "cpu": f"{millicores}m", "memory": f"{gibibytes}Gi"}
        chosen = choose(pod(f"p{number}", requests=requests), list(states_of(nodes, placed).values()))
        if chosen is not None:
            placed.append(pod(f"p{number}", on=chosen.name, requests=requests))
    for state in states_of(nodes, placed).values():
        offered = state.allocatable()
        assert all(amount <= offered.get(key, 0) for key, amount in state.taken.items())
