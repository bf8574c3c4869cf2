"""The comparer finds what is wrong, and nothing else: each kind of mistake of an answer, and each form of recording."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.conformance import normalise
from tests.conformance.api import prior
from tests.conformance.api.bodies import Earlier
from tests.conformance.api.late import split
from tests.conformance.api.watched import stream_differences, watched_differences
from tests.conformance.compare import differences, event_differences

UID = "9fb0bba1-ed7d-4239-8393-2c64f0eebbe6"
STAMPED = {"creationTimestamp": "2026-11-23T11:27:12Z", "resourceVersion": "7", "uid": UID}
OTHERWISE = {
    "creationTimestamp": "2030-01-01T00:00:00Z",
    "resourceVersion": "99",
    "uid": "11111111-2222-3333-4444-555555555555",
}


def _pod(name: str, stamp: dict[str, str] = STAMPED, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "system", **stamp}
    spec = {"restartPolicy": "Always", "containers": [{"name": "vllm", "image": "i"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": "Running", **status},
    }


def _list(*items: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": list(items)}


def test_another_run_of_the_same_is_equal() -> None:
    assert differences(_pod("web-f54ff5bf7-gsmjp"), _pod("web-6fb7bff987-xqz6w", OTHERWISE)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("uid", "x"), ("resourceVersion", ""), ("resourceVersion", 7), ("creationTimestamp", "yesterday"),
     ("creationTimestamp", "2026-11-23T11:27:12.123456Z"), ("creationTimestamp", None)],
)  # fmt: skip
def test_a_placeholder_stands_only_for_a_value_of_its_form(key: str, value: Any) -> None:
    wrong = _pod("p")
    wrong["metadata"][key] = value
    assert key in differences(_pod("p"), wrong)[0]


def test_a_wrong_default_is_different() -> None:
    wrong = _pod("p")
    wrong["spec"]["restartPolicy"] = "Never"
    assert differences(_pod("p"), wrong) == [".spec.restartPolicy: recorded 'Always', got 'Never'"]
    del wrong["spec"]["restartPolicy"]
    assert "got nothing" in differences(_pod("p"), wrong)[0]


@pytest.mark.parametrize("wrong", ["text", [], None, {}, {"items": "none"}, {"items": [1]}, {"rows": [None]}])
def test_an_answer_of_any_shape_is_told_as_different(wrong: Any) -> None:
    assert differences(_pod("p"), wrong)
    assert differences(_list(_pod("p")), wrong)


def _refusal(*fields: str) -> dict[str, Any]:
    causes = [{"reason": "FieldValueRequired", "message": "Required value", "field": field} for field in fields]
    message = 'Pod "p" is invalid: [' + ", ".join(f"{field}: Required value" for field in fields) + "]"
    return {"kind": "Status", "code": 422, "message": message, "details": {"kind": "Pod", "causes": causes}}


def test_causes_come_in_any_order_but_all_of_them() -> None:
    both = _refusal("metadata.name", "spec.containers")
    turned = copy.deepcopy(_refusal("spec.containers", "metadata.name"))
    turned["details"]["causes"] = [dict(reversed(cause.items())) for cause in turned["details"]["causes"]]
    assert differences(both, turned) == []
    assert differences(both, _refusal("metadata.name"))
    assert differences(both, {**turned, "message": "Service" + turned["message"][3:]})


def test_lists_are_whole_and_in_order() -> None:
    one, two = _pod("a"), _pod("b")
    assert differences(_list(one, two), _list(one, two)) == []
    assert "not found" in differences(_list(one, two), _list(one))[0]
    assert "not recorded" in differences(_list(), _list(one))[0]
    assert "order" in differences(_list(one, two), _list(two, one))[0]


def test_items_with_generated_names_are_matched_by_what_they_are() -> None:
    pending, running = _pod("web-f54ff5bf7-aaaaa".replace("a", "b"), phase="Pending"), _pod("web-f54ff5bf7-ccccc")
    here = [_pod("web-f54ff5bf7-ddddd", OTHERWISE), _pod("web-f54ff5bf7-fffff", OTHERWISE, phase="Pending")]
    assert differences(_list(pending, running), _list(*here)) == []
    here[1]["status"]["phase"] = "Failed"
    assert differences(_list(pending, running), _list(*here))


def test_only_what_a_recorder_cut_is_left_out() -> None:
    reduced = {
        "_reduced": True,
        "kind": "Pod",
        "metadata": {"name": "p", "resourceVersion": "1"},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running"},
    }
    whole = _pod("p")
    whole["spec"]["nodeName"] = "n"
    assert differences(reduced, whole) == []
    assert differences(reduced, {**whole, "status": {"phase": "Running", "reason": "odd"}})
    assert differences(reduced, {**whole, "spec": {"nodeName": "m"}})
    named = {"metadata": {"name": "p", "namespace": "system"}}
    assert differences(_list(named), _list({"metadata": {**named["metadata"], **STAMPED}})) == []
    assert differences(_list(named), _list({"metadata": {"name": "q"}}))


def test_a_table_is_compared_cell_by_cell() -> None:
    columns = [{"name": "Name"}, {"name": "Status"}, {"name": "Age"}]

    def table(*cells: str) -> dict[str, Any]:
        row = {"cells": list(cells), "object": {"metadata": {"name": "p", "namespace": "s"}}}
        return {"kind": "Table", "columnDefinitions": columns, "rows": [row]}

    assert differences(table("p", "Running", "5s"), table("p", "Running", "3m12s")) == []
    assert differences(table("p", "Running", "5s"), table("p", "Pending", "5s"))
    assert differences(table("p", "Running", "5s"), table("p", "Running", "soon"))
    assert differences(table("p", "Running", "5s"), table("p", "Running"))


def test_texts_keep_all_that_does_not_vary() -> None:
    assert normalise.text("dial tcp 127.0.0.1:10999") == "dial tcp 127.0.0.1:10999"
    assert normalise.text("10.244.0.7 and 127.96.3.4") == "<ip> and <ip>"
    assert normalise.text('pods "nosa-756cfc4974-" is forbidden') == 'pods "nosa-<hash>-" is forbidden'


def _event(kind: str, obj: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "object": obj, **more}


def test_where_nobody_else_writes_streams_are_equal_event_by_event() -> None:
    recorded = [_event("ADDED", _pod("p")), _event("DELETED", _pod("p"))]
    assert stream_differences(recorded, [_event("ADDED", _pod("p", OTHERWISE)), _event("DELETED", _pod("p"))]) == []
    assert stream_differences(recorded, recorded[:1])
    assert stream_differences(recorded, [recorded[0], recorded[0], recorded[1]])
    assert event_differences(_pod("p"), _pod("q"))


def _seen(*phases: str, until: float = 100.0) -> list[str]:
    """Problems with a life of a pod that passes through phases, against one of Pending, Running."""
    told = [{"t": 0.0, "resource": "pods", **_event("ADDED", _pod("p", phase="Pending", qosClass="B"))}]
    told += [{"t": 1.0, "resource": "pods", **_event("MODIFIED", _pod("p", phase="Running", qosClass="B"))}]
    here = [
        (float(n), "pods", "MODIFIED" if n else "ADDED", _pod("p", OTHERWISE, phase=phase, qosClass="B"))
        for n, phase in enumerate(phases)
    ]
    return [problem for _, problems in watched_differences(told, here, until) for problem in problems]


def test_a_life_may_have_more_or_fewer_updates_but_no_other_states() -> None:
    assert _seen("Pending", "Running") == []
    assert _seen("Pending", "Pending", "Running") == []
    assert _seen("Pending") == ["last event: recorded MODIFIED, got ADDED"]
    assert _seen("Running") != []
    assert "Failed" in _seen("Pending", "Failed", "Running")[0]
    assert _seen() == ["never seen here"]


def test_what_comes_after_the_end_of_a_recording_is_not_judged() -> None:
    assert _seen("Pending", "Running", "Failed", until=1.5) == []
    assert _seen("Pending", "Running", "Failed", until=2.5) != []


def _told(*reasons: str) -> list[dict[str, Any]]:
    involved = {"kind": "Pod", "name": "p"}
    return [
        {
            "kind": "Event",
            "metadata": {"name": f"p.{n:016x}", "namespace": "system"},
            "involvedObject": involved,
            "type": "Normal",
            "reason": reason,
            "message": f"{reason} it",
            "source": {"component": "c"},
        }
        for n, reason in enumerate(reasons)
    ]


@pytest.mark.parametrize("here", [("Pulled",), ("Started", "Pulled"), ("Pulled", "Started", "Killing"), ()])
def test_a_missing_or_odd_or_misplaced_event_is_different(here: tuple[str, ...]) -> None:
    recorded = [{"t": 0.0, "resource": "events", **_event("ADDED", obj)} for obj in _told("Pulled", "Started")]
    right = [(0.0, "events", "ADDED", obj) for obj in _told("Pulled", "Started")]
    wrong = [(0.0, "events", "ADDED", obj) for obj in _told(*here)]
    assert not any(problems for _, problems in watched_differences(recorded, right, 1.0))
    assert any(problems for _, problems in watched_differences(recorded, wrong, 1.0))


def _read(n: int, path: str, query: str, body: Any, size: int = 1) -> dict[str, Any]:
    request = {"method": "GET", "path": path, "query": query, "headers": {}}
    return {"n": n, "t": float(n), "request": request, "response": {"status": 200, "body": body, "size": size}}


def test_a_repeated_body_is_the_earlier_one_until_something_is_written() -> None:
    earlier, path = Earlier(), "/api/v1/namespaces/s/configmaps"
    earlier.take(_read(0, path, "", {"a": 1}))
    assert earlier.same_as(_read(1, path, "", "<repeat>")) == {"a": 1}
    assert earlier.same_as(_read(1, path, "", "<repeat>", size=2)) is None
    write = _read(2, f"{path}/x", "", {})
    write["request"]["method"] = "PUT"
    earlier.take(write)
    assert earlier.same_as(_read(3, path, "", "<repeat>")) is None


def test_what_a_whole_list_lacks_came_later_and_went_before_the_next() -> None:
    path = "/api/v1/namespaces/system/configmaps"
    item = {"metadata": {"name": "x", "namespace": "system"}}
    bodies = [{"items": []}, {"items": [item]}, {"items": []}]
    part = {"exchanges": [_read(n, path, "", body) for n, body in enumerate(bodies)]}
    part["exchanges"][1]["request"]["query"] = "labelSelector=app%3Dvllm"
    initial, changes = split([part], [(path, {"kind": "ConfigMap", **item})])
    assert initial == []
    assert [obj["metadata"]["labels"] for _, obj in changes[0, 1].created] == [{"app": "vllm"}]
    assert changes[0, 2].deleted == [f"{path}/x"]


def test_nodes_and_namespaces_are_found_by_what_is_shown_not_by_their_names() -> None:
    pod = _pod("p", containerStatuses=[])
    pod["metadata"]["namespace"], pod["spec"]["nodeName"] = "anywhere", "worker"
    part = {"exchanges": [_read(0, "/api/v1/pods", "", _list(pod, _pod("q")))]}
    assert prior.nodes([part]) == {"worker"}
    assert "anywhere" in prior.namespaces([part])
    assert prior.nodes([{"exchanges": []}]) == {prior.FIRST_NODE}
