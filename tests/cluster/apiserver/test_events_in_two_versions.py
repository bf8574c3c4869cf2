"""Events as core/v1 and as events.k8s.io/v1: the same objects, each with its own names for the fields."""

from __future__ import annotations

from tests.cluster.apiserver.conftest import Http

CORE, NEW = "/api/v1/namespaces/system/events", "/apis/events.k8s.io/v1/namespaces/system/events"
REGARDING = {"kind": "Pod", "name": "web", "namespace": "system"}


def test_an_event_that_is_written_in_one_version_is_read_in_the_other(http: Http) -> None:
    sent = {
        "metadata": {"name": "e"}, "regarding": REGARDING, "note": "Bound", "reason": "Scheduled", "type": "Normal",
        "action": "Binding", "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "default-scheduler",
        "reportingInstance": "s-1",
    }  # fmt: skip
    created = http("POST", NEW, sent).json()
    assert (created["apiVersion"], created["note"], "message" in created) == ("events.k8s.io/v1", "Bound", False)
    assert created["metadata"]["managedFields"][0]["apiVersion"] == "events.k8s.io/v1"
    read = http("GET", f"{CORE}/e").json()
    assert (read["message"], read["involvedObject"], read["reportingComponent"]) == (
        "Bound",
        REGARDING,
        "default-scheduler",
    )
    assert (read["source"], read["firstTimestamp"]) == ({}, None)
    http("PATCH", f"{CORE}/e", {"message": "Moved", "count": 2}, content_type="application/merge-patch+json")
    again = http("GET", f"{NEW}/e").json()
    assert (again["note"], again["deprecatedCount"]) == ("Moved", 2)
    assert http("DELETE", f"{NEW}/e").status_code == 200
    assert http("GET", f"{CORE}/e").status_code == 404


def test_each_version_is_selected_by_its_own_fields(http: Http) -> None:
    for name in ("web", "db"):
        about = {"kind": "Pod", "name": name, "namespace": "system"}
        http("POST", CORE, {"metadata": {"name": name}, "involvedObject": about, "message": "m", "source": {}})
    found = http("GET", f"{NEW}?fieldSelector=regarding.name%3Dweb").json()
    assert (found["kind"], [item["note"] for item in found["items"]]) == ("EventList", ["m"])
    foreign = http("GET", f"{NEW}?fieldSelector=involvedObject.name%3Dweb")
    assert (foreign.status_code, foreign.json()["message"]) == (400, "field label not supported: involvedObject.name")
    assert len(http("GET", f"{CORE}?fieldSelector=involvedObject.name%3Dweb").json()["items"]) == 1
