"""The rows of ``kubectl get``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver.table_format import duration
from cluster.embedded.apiserver.table_pods import cells, row_conditions, summary
from cluster.embedded.apiserver.tables import table
from cluster.embedded.resources import EVENTS, NODES, PODS, RESOURCES, ROLES, SERVICES

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def pod(*containers: dict[str, Any], phase: str = "Running", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "creationTimestamp": "2026-11-23T11:55:00Z"},
        "spec": {"nodeName": "n1", "containers": [{"name": str(i)} for i in range(len(containers) or 1)]},
        "status": {"phase": phase, "containerStatuses": list(containers), **status},
    }


def container(ready: bool = False, restarts: int = 0, last: str = "", **state: Any) -> dict[str, Any]:
    ended = {"lastState": {"terminated": {"finishedAt": last, "exitCode": 137}}} if last else {}
    return {"ready": ready, "restartCount": restarts, "state": state, **ended}


RUNNING = container(ready=True, running={})
CRASHED = container(restarts=3, last="2026-11-23T11:59:58Z", waiting={"reason": "CrashLoopBackOff"})


@pytest.mark.parametrize(
    ("shown", "of"),
    [
        ("Running", pod(RUNNING)),
        ("Pending", pod(phase="Pending")),
        ("CrashLoopBackOff", pod(CRASHED)),
        ("CrashLoopBackOff", pod(CRASHED, RUNNING)),
        ("ContainerCreating", pod(container(waiting={"reason": "ContainerCreating"}), phase="Pending")),
        ("OOMKilled", pod(container(terminated={"reason": "OOMKilled", "exitCode": 137}))),
        ("ExitCode:3", pod(container(terminated={"exitCode": 3}))),
        ("Signal:9", pod(container(terminated={"exitCode": 137, "signal": 9}))),
        ("Completed", pod(container(terminated={"reason": "Completed"}), phase="Succeeded")),
        ("NotReady", pod(container(terminated={"reason": "Completed"}), RUNNING)),
        ("Evicted", pod(phase="Failed", reason="Evicted")),
        ("Init:0/1", {**pod(), "spec": {"initContainers": [{}]},
                      "status": {"initContainerStatuses": [{"state": {"running": {}}}]}}),
    ],
)  # fmt: skip
def test_the_status_of_a_pod_is_the_reason_of_its_container(shown: str, of: dict[str, Any]) -> None:
    assert summary(of) == shown


def test_a_deleted_pod_is_terminating() -> None:
    deleted = pod(CRASHED)
    deleted["metadata"]["deletionTimestamp"] = "2026-11-23T11:59:00Z"
    assert summary(deleted) == "Terminating"


def test_a_pod_row_counts_ready_containers_and_restarts() -> None:
    assert cells(pod(RUNNING, CRASHED, podIP="127.16.128.2"), NOW) == [
        "web", "1/2", "CrashLoopBackOff", "3 (2s ago)", "5m", "127.16.128.2", "n1", "<none>", "<none>",
    ]  # fmt: skip


def test_a_finished_pod_is_marked() -> None:
    assert row_conditions(pod(phase="Failed"))[0]["reason"] == "Failed"
    assert row_conditions(pod(RUNNING)) == []


def test_columns_have_the_types_and_priorities_of_a_real_server() -> None:
    columns = table(PODS, [], {}, "Metadata")["columnDefinitions"]
    assert [(c["name"], c["priority"]) for c in columns] == [
        ("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0),
        ("IP", 1), ("Node", 1), ("Nominated Node", 1), ("Readiness Gates", 1),
    ]  # fmt: skip
    assert columns[0]["format"] == "name"
    assert [c["name"] for c in table(ROLES, [], {}, "Metadata")["columnDefinitions"]] == ["Name", "Age"]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.plural)
def test_a_bare_object_of_every_kind_has_a_row_as_wide_as_its_columns(resource: Any) -> None:
    shown = table(resource, [{"metadata": {"name": "x"}}], {}, "None", now=NOW)
    [row] = shown["rows"]
    assert len(row["cells"]) == len(shown["columnDefinitions"])
    assert "object" not in row


def test_services_nodes_and_events_read_as_in_kubectl() -> None:
    created = {"name": "web", "creationTimestamp": "2026-11-23T09:00:00Z"}
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 443, "nodePort": 30443}]
    service = {"metadata": created, "spec": {"clusterIP": "127.16.0.9", "ports": ports, "selector": {"a": "b"}}}
    node = {
        "metadata": {**created, "labels": {"node-role.kubernetes.io/gpu": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    event = {
        "metadata": created,
        "type": "Warning",
        "reason": "FailedScheduling",
        "involvedObject": {"kind": "Pod", "name": "p"},
        "eventTime": "2026-11-23T11:59:54.123456Z",
        "reportingComponent": "default-scheduler",
    }
    rows = {r: table(r, [o], {}, "None", now=NOW)["rows"][0]["cells"] for r, o in
            ((SERVICES, service), (NODES, node), (EVENTS, event))}  # fmt: skip
    assert rows[SERVICES] == ["web", "ClusterIP", "127.16.0.9", "<none>", "80/TCP,443:30443/TCP", "3h", "a=b"]
    assert rows[NODES][1:4] == ["Ready,SchedulingDisabled", "gpu", "3h"]
    assert rows[EVENTS][:6] == ["5s", "Warning", "FailedScheduling", "pod/p", "", "default-scheduler"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (310, "5m10s"), (600, "10m"), (10_799, "179m"), (10_800, "3h"),
        (12_660, "3h31m"), (86_400, "24h"), (187_200, "2d4h"), (691_200, "8d"), (63_072_000, "2y"),
    ],
)  # fmt: skip
def test_a_duration_is_as_short_as_kubectl_writes_it(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


@given(st.integers(0, 10**9))
def test_a_duration_has_at_most_two_units(seconds: int) -> None:
    shown = duration(seconds)
    assert sum(character.isalpha() for character in shown) in (1, 2)
    assert " " not in shown
