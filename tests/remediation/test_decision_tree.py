"""The runbook's decision tree: every answer of every question, and every path through the four of them."""

from __future__ import annotations

from itertools import product

import pytest

from remediation import tree
from remediation.model import DecisionAction, Family, Finding, TreeAnswer
from remediation.snapshot import Snapshot, Traffic
from tests.remediation.samples import mixed

FIXABLE = Finding("oom_killed", Family.RESOURCES, 1.0, "", config_fix=True)
SHORTAGE = Finding("unschedulable", Family.CAPACITY, 1.0, "")
BUG = Finding("crash_looping", Family.APPLICATION, 1.0, "")
TYPO = Finding("model_path_wrong", Family.CONFIGURATION, 1.0, "", config_fix=True)
WELL, HURT, SILENT = (
    Traffic(100, 0, 0, 0.0, 1.0, 10, "router"),
    Traffic(100, 3, 0, 0.03, 1.0, 10, "router"),
    Traffic(),
)


def answers(
    healthy: int = 4, desired: int = 4, findings: tuple[Finding, ...] = (), traffic: Traffic = WELL, env: str = ""
) -> tuple[TreeAnswer, ...]:
    seen: Snapshot = mixed(healthy, desired, traffic=traffic)
    return tree.evaluate(seen, findings, env or "production")


@pytest.mark.runbook("decision-tree-1-healthy-share")
@pytest.mark.parametrize(
    ("healthy", "desired", "answer", "advice", "to_rollback"),
    [
        (3, 4, True, "Continue with reduced capacity, fix failing pods", False),
        (2, 4, False, "Consider rollback if degradation is severe", True),  # exactly 50 % is not more than 50 %
        (0, 4, False, "Consider rollback if degradation is severe", True),
        (0, 0, None, "", None),
    ],
)
def test_question_1(healthy, desired, answer, advice, to_rollback) -> None:
    first = answers(healthy, desired)[0]
    assert (first.answer, first.advice, first.leans_to_rollback) == (answer, advice, to_rollback)


@pytest.mark.runbook("decision-tree-2-resources")
@pytest.mark.parametrize(
    ("findings", "answer", "advice"),
    [
        ((FIXABLE,), True, "Free up resources or scale down"),
        ((SHORTAGE, BUG), True, "Free up resources or scale down"),
        ((BUG,), False, "Check logs for application errors"),
        ((TYPO,), False, "Check logs for application errors"),
        ((), None, ""),
    ],
)
def test_question_2(findings, answer, advice) -> None:
    second = answers(findings=findings)[1]
    assert (second.answer, second.advice, second.leans_to_rollback) == (answer, advice, None)


@pytest.mark.runbook("decision-tree-3-config")
@pytest.mark.parametrize(
    ("findings", "answer", "advice", "to_rollback"),
    [
        ((FIXABLE,), True, "Apply config change via helm upgrade", False),
        ((FIXABLE, TYPO), True, "Apply config change via helm upgrade", False),
        ((FIXABLE, BUG), False, "Rollback to previous version", True),
        ((BUG,), False, "Rollback to previous version", True),
        ((), None, "", None),
    ],
)
def test_question_3(findings, answer, advice, to_rollback) -> None:
    third = answers(findings=findings)[2]
    assert (third.answer, third.advice, third.leans_to_rollback) == (answer, advice, to_rollback)


@pytest.mark.runbook("decision-tree-4-traffic")
@pytest.mark.parametrize(
    ("traffic", "environment", "answer", "advice", "to_rollback"),
    [
        (HURT, "production", True, "Consider immediate rollback", True),
        (Traffic(100, 0, 9, 0.0, 1.0, 10, "router"), "production", True, "Consider immediate rollback", True),
        (WELL, "production", False, "Fix forward with monitoring", False),
        (HURT, "staging", False, "Fix forward with monitoring", False),
        (SILENT, "production", None, "", None),
    ],
)
def test_question_4(traffic, environment, answer, advice, to_rollback) -> None:
    fourth = answers(traffic=traffic, env=environment)[3]
    assert (fourth.answer, fourth.advice, fourth.leans_to_rollback) == (answer, advice, to_rollback)


FIRST = {True: (3, 4), False: (1, 4), None: (0, 0)}
SECOND_AND_THIRD = {
    (True, True): (FIXABLE,),
    (True, False): (SHORTAGE,),
    (False, True): (TYPO,),
    (False, False): (BUG,),
    (None, None): (),
}
FOURTH = {True: HURT, False: WELL, None: SILENT}
PATHS = list(product(FIRST, SECOND_AND_THIRD, FOURTH))


@pytest.mark.runbook("decision-tree-paths")
@pytest.mark.parametrize(("first", "middle", "fourth"), PATHS)
def test_every_path_ends_and_its_disagreements_are_exactly_the_answers_that_lean_the_other_way(
    first, middle, fourth
) -> None:
    found = answers(*FIRST[first], SECOND_AND_THIRD[middle], FOURTH[fourth])
    assert tuple(answer.answer for answer in found) == (first, *middle, fourth)
    for action in DecisionAction:
        said = tree.disagreements(found, action)
        leaning = [a for a in found if a.leans_to_rollback is not None]
        wrong = [a for a in leaning if a.leans_to_rollback != action.is_rollback]
        decides = action.is_rollback or action.fixes
        assert len(said) == (len(wrong) if decides else 0)
        assert all(action.value in text for text in said)
