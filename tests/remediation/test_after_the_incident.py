"""The checklist is verified item by item, and the postmortem says what happened."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.postmortems import impact
from gameday.slo import Slo
from remediation.checklist import Seen, State, done, lines, verify
from remediation.diagnose import diagnose
from remediation.model import Evidence, Family, Finding, Outcome, RemediationEvent
from remediation.policy import Policy
from remediation.ports import Completion
from remediation.postmortem import Impact, Incident, render
from remediation.render import as_json
from remediation.snapshot import Deployment, RegistryEntry, Traffic
from tests.endtoend.harness import ROOT
from tests.remediation.samples import RELEASE, killed_pod, mixed, serving_pod, snapshot, traffic

WELL = snapshot(
    tuple(serving_pod(f"p{i}", "bad") for i in range(3)),
    3,
    deployment=Deployment(RELEASE, 3, updated=3, available=3, replicas=3),
)
DOCUMENT = render(
    Incident("Pods were killed", datetime(2026, 1, 1, tzinfo=UTC), 0.0, 60.0, (), Outcome("repaired", "done"))
)


def seen(**changes: object) -> Seen:
    given: dict[str, object] = {
        "snapshot": WELL,
        "findings": (),
        "completion": Completion(200, served_by="p0"),
        "pods": ("p0", "p1", "p2"),
        "postmortem": DOCUMENT,
        "known_causes": frozenset({"oom_killed"}),
    }
    return Seen(**{**given, **changes})  # type: ignore[arg-type]


def states(what: Seen) -> list[State]:
    return [item.state for item in verify(what, Policy())]


def test_a_service_that_is_well_and_documented_has_nothing_open() -> None:
    items = verify(seen(), Policy())
    assert done(items), list(lines(items))
    assert len(items) == 8


NEW = Finding("solar_flare", Family.NODE, 1.0, "a solar flare")


@pytest.mark.parametrize(
    ("item", "changes", "state"),
    [
        (0, {"snapshot": dataclasses.replace(WELL, pods=(*WELL.pods[:2], killed_pod("p9")))}, State.OPEN),
        (0, {"snapshot": dataclasses.replace(WELL, deployment=None)}, State.UNKNOWN),
        (1, {"snapshot": dataclasses.replace(WELL, registry=RegistryEntry("m", "e", "disabled"))}, State.OPEN),
        (1, {"snapshot": dataclasses.replace(WELL, registry=None)}, State.UNKNOWN),
        (2, {"completion": Completion(503, "MODEL_DISABLED")}, State.OPEN),
        (2, {"completion": Completion(200, served_by="somebody-else")}, State.OPEN),
        (2, {"completion": None}, State.UNKNOWN),
        (3, {"snapshot": dataclasses.replace(WELL, traffic=traffic(1000, 2))}, State.OPEN),
        (3, {"snapshot": dataclasses.replace(WELL, traffic=Traffic())}, State.UNKNOWN),
        (4, {"snapshot": dataclasses.replace(WELL, traffic=traffic(1000, 0, p95=3.1))}, State.OPEN),
        (4, {"snapshot": dataclasses.replace(WELL, traffic=traffic(1000, 0, p95=None))}, State.UNKNOWN),
        (5, {"postmortem": None}, State.OPEN),
        (5, {"postmortem": "## Root Cause\nDetailed explanation of what caused the issue.\n"}, State.OPEN),
        (6, {"postmortem": None}, State.OPEN),
        (6, {"postmortem": DOCUMENT.replace("## Resolution", "## Else")}, State.OPEN),
        (7, {"findings": (NEW,)}, State.OPEN),
    ],
)
def test_each_item_is_open_or_unknown_for_its_own_reason(item: int, changes: dict[str, object], state: State) -> None:
    assert states(seen(**changes))[item] is state
    assert not done(verify(seen(**changes), Policy()))


def test_what_somebody_disabled_on_purpose_is_correct_in_the_registry() -> None:
    kept = RegistryEntry("m", "e", "disabled", reason="maintenance", owner="ana")
    assert states(seen(snapshot=dataclasses.replace(WELL, registry=kept)))[1] is State.DONE


def event(name: str, at: float, **details: object) -> RemediationEvent:
    return RemediationEvent(name, at, details)  # type: ignore[arg-type]


def test_the_postmortem_tells_cause_with_evidence_what_was_done_and_what_is_left() -> None:
    finding = Finding(
        "oom_killed",
        Family.RESOURCES,
        1.0,
        "1 pod killed",
        evidence=(Evidence("pod a", "terminated.reason", "OOMKilled", "2026-01-01T00:00:05Z"),),
        against=(Evidence("pod b", "Ready", "True"),),
    )
    events = (
        event("detected", 105.0, findings=[as_json(finding)]),
        event("decided", 106.0, action="fix_forward", quote="not covered by the runbook (extension)"),
        event("acted", 107.0, action="HelmUpgrade", changed="memory=2Gi", command="helm upgrade r", detail="done"),
        event("acted", 108.0, action="WaitRollout", changed="", command="kubectl rollout status"),
        event("validated", 160.0, ok=True, unmet=[]),
    )
    began = datetime(2026, 1, 1, tzinfo=UTC)
    outcome = Outcome("repaired", "it holds", remains=("tell the owner",))
    text = render(Incident("A failure", began, 100.0, 160.0, events, outcome, Impact(200, 10, 4, 1.5, 0.01)))
    for expected in (
        "**Date**: 2026-01-01",
        "(1.0 minutes)",
        "14 of 200 requests affected (7.0%): 10 failed, 4 refused; 1.50 minutes of the error budget of 30 days",
        "- 00:00:05 - Root cause identified: 1 pod killed",
        "- 00:00:07 - Remediation applied: memory=2Gi: `helm upgrade r`",
        "**oom_killed** (resources, confidence 100%): 1 pod killed",
        "- for: pod a, terminated.reason: OOMKilled at 2026-01-01T00:00:05Z",
        "- against: pod b, Ready: True",
        "- [ ] Still to do: tell the owner",
        "- [ ] The decision was not covered by the runbook",
    ):
        assert expected in text
    assert "rollout status" not in text, "what changed nothing is no resolution"


def test_a_postmortem_without_measurements_does_not_claim_that_nobody_was_affected() -> None:
    assert "not measured" in DOCUMENT


SLO = Slo.load(ROOT / "slo" / "gameday.yaml")


@given(st.integers(1, 10_000), st.floats(1, 3600), st.data())
def test_the_whole_budget_is_spent_when_as_many_fail_as_thirty_days_allow(requests, seconds, data) -> None:
    failed = data.draw(st.integers(0, requests))
    found = impact(requests, failed, 0, seconds, SLO)
    assert found.budget_minutes is not None
    assert found.budget_share is not None
    assert found.budget_minutes == pytest.approx(found.budget_share * 43.2)
    # an outage with this error ratio takes its own length, times the ratio, out of the budget
    assert found.budget_minutes == pytest.approx(seconds / 60 * failed / requests)


def test_findings_of_a_broken_service_are_known_to_the_runbook() -> None:
    assert {f.cause for f in diagnose(mixed(3, 4))} <= {"oom_killed", "not_ready"}
