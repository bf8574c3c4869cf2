"""W42 to W48: the runbook's matrix and decision tree as written, shown wrong, and ours beside them.

`original` reads the four rows literally, both columns as conditions; it answers with every row that applies.
"""

from __future__ import annotations

import dataclasses

import pytest

from remediation.decide import decide
from remediation.diagnose import diagnose
from remediation.matrix import look_up
from remediation.model import Decision, DecisionAction, Verdict
from remediation.policy import Policy
from remediation.remedy import Situation
from remediation.snapshot import Pod, Snapshot
from tests.remediation.samples import TARGET, mixed, serving_pod, snapshot, traffic

IMMEDIATE, ROLLBACK = Verdict.IMMEDIATE_ROLLBACK, Verdict.ROLLBACK
MONITORED, FORWARD = Verdict.FIX_FORWARD_MONITORED, Verdict.FIX_FORWARD


def original(healthy: float, errors: float) -> list[Verdict]:
    """The rows whose "Healthy Pods" and "Error Rate" columns hold, in percent as the runbook writes them."""
    rows = [
        (0 <= healthy <= 25, True, IMMEDIATE),
        (25 <= healthy <= 50, errors > 10, ROLLBACK),
        (50 <= healthy <= 75, 5 <= errors <= 10, MONITORED),
        (healthy > 75, errors < 5, FORWARD),
    ]
    return [verdict for share_holds, rate_holds, verdict in rows if share_holds and rate_holds]


def ours(healthy: float, errors: float) -> Verdict:
    return look_up(healthy / 100, errors / 100, None, Policy()).verdict


def decided(seen: Snapshot, tried: frozenset[str] = frozenset()) -> Decision:
    return decide(Situation(seen, Policy(), TARGET, tuple(diagnose(seen)), tried))


@pytest.mark.parametrize(
    ("healthy", "errors", "settled"),
    [
        (40, 0, ROLLBACK),
        (40, 10, ROLLBACK),
        (60, 4, MONITORED),
        (60, 40, ROLLBACK),
        (100, 5, MONITORED),
        (100, 60, ROLLBACK),
    ],
)
def test_w42_cells_that_the_runbook_leaves_undefined_have_a_decision_that_says_so(healthy, errors, settled):
    assert original(healthy, errors) == []
    cell = look_up(healthy / 100, errors / 100, None, Policy())
    assert cell.verdict is settled
    assert cell.source == "extension"
    assert "not covered by the runbook" in cell.quote


@pytest.mark.parametrize(("healthy", "errors"), [(25, 20)])
def test_w43_a_share_on_a_boundary_is_in_two_rows_of_the_runbook_and_in_one_of_ours(healthy, errors):
    assert original(healthy, errors) == [IMMEDIATE, ROLLBACK]
    assert ours(healthy, errors) is ROLLBACK


@pytest.mark.parametrize(
    ("errors", "said", "settled"), [(10, [MONITORED], MONITORED), (11, [ROLLBACK], ROLLBACK), (4, [], MONITORED)]
)
def test_w43_half_of_the_pods_gets_another_row_with_each_error_rate(errors, said, settled):
    assert original(50, errors) == said
    assert ours(50, errors) is settled


def test_w43_three_quarters_are_in_the_row_whose_condition_excludes_them():
    assert original(75, 0) == []
    assert ours(75, 0) is FORWARD


@pytest.mark.parametrize("replicas", range(1, 9))
def test_w44_small_fleets_have_rows_that_cannot_be_reached_and_shares_on_boundaries(replicas):
    shares = [100 * healthy / replicas for healthy in range(replicas + 1)]
    undefined = [share for share in shares if len(original(share, 0)) != 1]
    middle = [share for share in shares if 25 < share < 75]
    if replicas == 1:
        assert middle == []
    else:
        assert undefined, "with no errors, some share of every fleet has no row or two"
    assert all(ours(share, 0) in Verdict for share in shares)


def test_w45_no_traffic_is_unknown_and_not_zero_percent():
    seen = mixed(4, 4, traffic=traffic(0, 0))
    assert seen.traffic.error_rate is None
    decision = decided(seen)
    assert decision.cell is not None
    assert decision.cell.error_band == "unknown"
    assert decision.cell.verdict is MONITORED, "at 0 % it would be fix forward"


def test_w45_zero_replicas_and_no_data_are_neither_none_nor_all_healthy():
    for seen in (snapshot((), 0), dataclasses.replace(mixed(2, 4), deployment=None)):
        assert seen.healthy_share is None
        assert decided(seen).action is DecisionAction.ESCALATE


def test_w45_restarting_and_hook_pods_do_not_count_as_stable_or_healthy():
    flapping = serving_pod("p0", "bad", stable=False)
    hook = Pod("pre-install-check", ready=True, hook=True)
    seen = snapshot((flapping, hook), 2)
    assert (seen.healthy_share, seen.stable_share) == (0.5, 0.0)


@pytest.mark.parametrize(("p95", "baseline"), [(6.5, None), (2.5, 1.0)])
def test_w46_latency_is_absent_from_the_runbooks_matrix_and_counts_in_ours(p95, baseline):
    """Sibling documents roll back at 6 s, or at twice the baseline."""
    assert original(100, 0) == [FORWARD]
    assert look_up(1.0, 0.0, p95, Policy(baseline_p95_seconds=baseline)).verdict is MONITORED


def test_w46_the_tree_contradicts_the_matrix_and_that_is_reported():
    decision = decided(mixed(2, 4, traffic=traffic(100, 7)))
    assert decision.action is DecisionAction.FIX_FORWARD_MONITORED
    assert any("question 1" in text for text in decision.disagreements), "50 % is NO: consider rollback"
    assert any("question 4" in text for text in decision.disagreements), "any failed request: immediate rollback"


def test_w47_the_runbook_rolls_back_a_gpu_shortage_and_we_do_not():
    pending = Pod("p1", "bad", "Pending", unschedulable_message="1 Insufficient nvidia.com/gpu")
    assert original(0, 0) == [IMMEDIATE]
    decision = decided(snapshot((pending,), 4))
    assert decision.cell is not None
    assert decision.cell.verdict is IMMEDIATE
    assert not decision.action.is_rollback
    assert any("overridden: a rollback cannot repair" in text for text in decision.overrides)


def test_w47_a_rollback_needs_a_revision_that_was_good_and_does_not_happen_twice():
    no_target = dataclasses.replace(mixed(0, 4), helm=mixed(0, 4).helm[1:])
    assert decided(no_target).action is DecisionAction.ESCALATE
    assert decided(mixed(0, 4), tried=frozenset({"rollback"})).action is DecisionAction.ESCALATE


def test_w48_questions_that_cannot_be_answered_advise_nothing_and_there_is_always_one_decision():
    unknown = decided(dataclasses.replace(mixed(2, 4), deployment=None))
    assert unknown.tree[0].answer is None
    assert unknown.action is DecisionAction.ESCALATE
    half = decided(mixed(2, 4, traffic=traffic(100, 0)))
    assert [answer.answer for answer in half.tree[:2]] == [False, True], "they advise different things"
    assert half.action is DecisionAction.FIX_FORWARD_MONITORED, "the matrix has precedence over the tree"
