"""The runbook's decision tree (Scenario 1), evaluated beside the matrix. It advises; the matrix and the cause
decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediation.model import DecisionAction, Family, Finding, TreeAnswer
from remediation.snapshot import Snapshot, Traffic


def evaluate(snapshot: Snapshot, findings: Sequence[Finding], environment: str) -> tuple[TreeAnswer, ...]:
    """Answer the four questions. A question that the data cannot answer stays None, and advises nothing."""
    return (
        _half_healthy(snapshot.healthy_share),
        _resource_related(findings),
        _config_fix(findings),
        _traffic_affected(snapshot.traffic, environment),
    )


def disagreements(tree: Sequence[TreeAnswer], action: DecisionAction) -> tuple[str, ...]:
    """Where the tree leans another way than what was decided."""
    if not (action.is_rollback or action.fixes):
        return ()
    return tuple(
        f"decision tree question {a.number} ({a.question}) advises {a.advice!r}, but {action.value} was decided"
        for a in tree
        if a.leans_to_rollback is not None and a.leans_to_rollback != action.is_rollback
    )


def _half_healthy(share: float | None) -> TreeAnswer:
    question = "Are >50% of pods healthy?"
    if share is None:
        return TreeAnswer(1, question, None, "")
    if share > 0.5:
        return TreeAnswer(1, question, True, "Continue with reduced capacity, fix failing pods", False)
    return TreeAnswer(1, question, False, "Consider rollback if degradation is severe", True)


def _resource_related(findings: Sequence[Finding]) -> TreeAnswer:
    question = "Is the issue resource-related?"
    if not findings:
        return TreeAnswer(2, question, None, "")
    if any(f.family in (Family.RESOURCES, Family.CAPACITY) for f in findings):
        return TreeAnswer(2, question, True, "Free up resources or scale down")
    return TreeAnswer(2, question, False, "Check logs for application errors")


def _config_fix(findings: Sequence[Finding]) -> TreeAnswer:
    question = "Can the issue be fixed with config change?"
    if not findings:
        return TreeAnswer(3, question, None, "")
    if all(f.config_fix for f in findings):
        return TreeAnswer(3, question, True, "Apply config change via helm upgrade", False)
    return TreeAnswer(3, question, False, "Rollback to previous version", True)


def _traffic_affected(traffic: Traffic, environment: str) -> TreeAnswer:
    question = "Is production traffic affected?"
    if environment == "production" and traffic.source == "none":
        return TreeAnswer(4, question, None, "")
    if environment == "production" and traffic.failures + traffic.refused > 0:
        return TreeAnswer(4, question, True, "Consider immediate rollback", True)
    return TreeAnswer(4, question, False, "Fix forward with monitoring", False)
