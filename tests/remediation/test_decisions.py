"""Cause before matrix before tree, and what a rollback needs before it is done."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediation.decide import decide
from remediation.diagnose import diagnose
from remediation.model import Decision, DecisionAction
from remediation.policy import Policy
from remediation.remedy import Situation
from remediation.snapshot import HelmRevision, Node, Pod, RegistryEntry, Snapshot, Traffic
from tests.remediation.samples import TARGET, killed_pod, mixed, serving_pod, snapshot, traffic

MI = 2**20
DISABLED = RegistryEntry("llama-2-7b", "production", "disabled")
PENDING = Pod("p1", "bad", "Pending", unschedulable_message="Insufficient nvidia.com/gpu")


def decided(seen: Snapshot) -> Decision:
    return decide(Situation(seen, Policy(), TARGET, tuple(diagnose(seen))))


@pytest.mark.parametrize(
    ("healthy", "failures", "expected"),
    [
        (4, 0, DecisionAction.FIX_FORWARD),
        (3, 0, DecisionAction.FIX_FORWARD),
        (3, 7, DecisionAction.FIX_FORWARD_MONITORED),
        (2, 7, DecisionAction.FIX_FORWARD_MONITORED),
        (2, 30, DecisionAction.ROLLBACK),
        (1, 30, DecisionAction.ROLLBACK),
        (0, 0, DecisionAction.IMMEDIATE_ROLLBACK),
    ],
)
def test_an_oom_gets_what_the_matrix_says_at_what_was_measured(healthy, failures, expected):
    decision = decided(mixed(healthy, 4, traffic=traffic(100, failures)))
    assert decision.action is expected
    assert decision.healthy_share == healthy / 4
    assert decision.error_rate == failures / 100
    assert decision.overrides == ()
    assert decision.rollback_revision == (1 if expected.is_rollback else None)


def test_a_rollback_that_cannot_help_gives_way_to_the_cause():
    same = (HelmRevision(1, "superseded", fingerprint="good", memory_limit_bytes=64 * MI), mixed(0, 4).helm[1])
    decision = decided(mixed(0, 4, helm=same))
    assert decision.action is DecisionAction.FIX_CAUSE
    assert "same limit" in decision.overrides[0]


@pytest.mark.parametrize(
    "history",
    [
        (HelmRevision(1, "deployed", fingerprint="bad"),),
        (HelmRevision(1, "failed", fingerprint="good"), HelmRevision(2, "deployed", fingerprint="bad")),
        (HelmRevision(1, "superseded", fingerprint="bad"), HelmRevision(2, "deployed", fingerprint="bad")),
        (),
    ],
)
def test_a_rollback_without_a_good_target_is_escalated(history):
    decision = decided(mixed(0, 4, helm=history))
    assert decision.action is DecisionAction.ESCALATE
    assert "no earlier revision" in decision.reasons[0]


def test_a_proven_target_is_preferred_to_a_newer_presumed_one():
    history = (
        HelmRevision(1, "superseded", fingerprint="good", memory_limit_bytes=512 * MI),
        HelmRevision(2, "superseded", fingerprint="other", memory_limit_bytes=512 * MI),
        HelmRevision(3, "deployed", fingerprint="bad", memory_limit_bytes=64 * MI),
    )
    decision = decided(mixed(1, 4, helm=history, traffic=traffic(100, 30)))
    assert decision.rollback_revision == 1


def test_a_rollback_without_room_is_escalated():
    full = (Node("gpu-1", memory_bytes=2**33, gpus=1, gpus_in_use=1),)
    seen = mixed(1, 3, nodes=full, traffic=traffic(100, 30))
    assert seen.deployment is not None
    unplaced = tuple(dataclasses.replace(p, node="") if not p.ready else p for p in seen.pods)
    tight = dataclasses.replace(seen.deployment, max_unavailable=0)
    decision = decided(dataclasses.replace(seen, pods=unplaced, deployment=tight))
    assert decision.action is DecisionAction.ESCALATE
    assert "only serving pod" in decision.reasons[0]


def test_a_gpu_shortage_is_never_rolled_back():
    decision = decided(snapshot((PENDING,), 4))
    assert decision.cell is not None
    assert decision.cell.verdict.is_rollback
    assert decision.action is DecisionAction.ESCALATE
    assert any("cannot repair unschedulable" in text for text in decision.overrides)


def test_a_disabled_model_is_fixed_at_its_cause_even_where_the_matrix_says_rollback():
    pods = tuple(serving_pod(f"p{i}", "bad") for i in range(4))
    seen = snapshot(pods, registry=DISABLED, pod_completion=True, traffic=Traffic(10, 6, 4, 0.6, 1.0, 10, "router"))
    decision = decided(seen)
    assert decision.action is DecisionAction.FIX_CAUSE
    assert "rollback cannot repair" in decision.overrides[0]


def test_a_disabled_model_with_refusals_only_is_the_last_row_of_the_matrix():
    pods = tuple(serving_pod(f"p{i}", "bad") for i in range(4))
    refused = Traffic(50, 0, 50, 0.0, 0.01, 10, "router")
    decision = decided(snapshot(pods, registry=DISABLED, pod_completion=True, traffic=refused))
    assert decision.action is DecisionAction.FIX_FORWARD
    assert "Fix forward, investigate failures" in decision.quote


def test_nothing_is_done_about_a_model_that_somebody_disabled_on_purpose():
    pods = tuple(serving_pod(f"p{i}", "bad") for i in range(4))
    meant = dataclasses.replace(DISABLED, reason="maintenance", owner="ana")
    assert decided(snapshot(pods, registry=meant, pod_completion=True)).action is DecisionAction.NOTHING


def test_zero_replicas_no_data_and_a_locked_release_are_escalated():
    locked = (*mixed(2, 4).helm, HelmRevision(3, "pending-rollback"))
    for seen in (snapshot((), 0), dataclasses.replace(mixed(2, 4), deployment=None), mixed(2, 4, helm=locked)):
        assert decided(seen).action is DecisionAction.ESCALATE


def test_an_unknown_error_rate_is_not_read_as_zero():
    decision = decided(mixed(4, 4, traffic=Traffic()))
    assert decision.action is DecisionAction.FIX_FORWARD_MONITORED
    assert decision.error_rate is None


def test_the_tree_is_answered_beside_the_matrix_and_its_disagreement_is_reported():
    decision = decided(mixed(2, 4, traffic=traffic(100, 7)))
    assert [answer.answer for answer in decision.tree] == [False, True, True, True]
    assert any("question 1" in text for text in decision.disagreements)
    assert any("question 4" in text for text in decision.disagreements)
    assert not any("question 3" in text for text in decision.disagreements)


@given(
    healthy=st.integers(0, 8),
    desired=st.integers(0, 8),
    requests=st.integers(0, 50),
    failures=st.integers(0, 50),
    status=st.sampled_from(["ready", "disabled", "failed"]),
    answered=st.sampled_from([True, False, None]),
)
def test_every_snapshot_has_a_decision_and_a_rollback_always_a_target(
    healthy, desired, requests, failures, status, answered
):
    seen = mixed(
        healthy,
        desired,
        traffic=traffic(requests, min(requests, failures)),
        registry=RegistryEntry("llama-2-7b", "production", status),
        pod_completion=answered,
    )
    decision = decided(seen)
    assert decision.action.is_rollback == (decision.rollback_revision is not None)
    assert (decision.cell is None) == (desired == 0)
    if desired == 0:
        assert decision.action is DecisionAction.ESCALATE
    assert decision.action is not DecisionAction.NOTHING, "a killed pod is always something"


def test_a_crash_of_unknown_cause_is_escalated_when_the_matrix_says_fix_forward():
    looping = dataclasses.replace(
        killed_pod("p9"), containers=(dataclasses.replace(killed_pod("x").containers[0], last_terminated=None),)
    )
    pods = (*(serving_pod(f"p{i}", "bad") for i in range(3)), looping)
    decision = decided(snapshot(pods, 4))
    assert decision.action is DecisionAction.ESCALATE
    assert "no automatic fix" in decision.overrides[0]
