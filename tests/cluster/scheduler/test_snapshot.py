"""The scheduler's snapshot: whatever changes in whatever order, it says what counting from scratch would say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.scheduler.filters import NodeState
from cluster.embedded.scheduler.snapshot import Snapshot
from tests.cluster.scheduler.test_decisions import node

NODES = ("n1", "n2", "n3")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.sampled_from(NODES), st.sampled_from(("4", "8"))),
        st.tuples(st.just("no node"), st.sampled_from(NODES)),
        st.tuples(st.just("pod"), st.integers(0, 5), st.sampled_from(NODES), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("no pod"), st.integers(0, 5)),
    ),
    max_size=40,
)


def pod(number: int, cpu: int, port: int) -> Any:
    ports = [{"hostPort": port}] if port else []
    owner = {"uid": f"owner-{cpu}", "controller": True}
    container = {"name": "c", "ports": ports, "resources": {"requests": {"cpu": str(cpu)}}}
    metadata = {"uid": str(number), "name": "p", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"containers": [container]}}


@given(steps)
def test_the_snapshot_equals_a_count_from_scratch(changes: list[Any]) -> None:
    snapshot, nodes, placed = Snapshot(), dict[str, Any](), dict[int, tuple[Any, str]]()
    for what, name, *rest in changes:
        match what:
            case "node":
                nodes[name] = node(name, cpu=rest[0])
                snapshot.set_node(nodes[name])
            case "no node":
                nodes.pop(name, None)
                snapshot.remove_node(name)
            case "pod":
                placed[name] = (pod(name, rest[1], rest[2]), rest[0])
                snapshot.place(*placed[name])
            case "no pod":
                placed.pop(name, None)
                snapshot.remove(str(name))
    expected = {name: NodeState(content) for name, content in nodes.items()}
    for content, name in placed.values():
        if name in expected:
            expected[name].add(content)
    assert {state.name: _view(state) for state in snapshot.states} == {n: _view(s) for n, s in expected.items()}


def _view(state: NodeState) -> tuple[Any, ...]:
    used = {name: amount for name, amount in state.used.items() if amount}
    return used, dict(state.host_ports), dict(state.owners), state.allocatable, state.node
