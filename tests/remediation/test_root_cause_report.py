"""Procedure 2: every failure point is looked at and ranked, with what speaks for and against."""

from __future__ import annotations

import dataclasses

import pytest

from remediation.model import Evidence, Family, Finding
from remediation.policy import Policy
from remediation.rootcause import failure_points, report
from remediation.rules import RuleFamily, families
from remediation.snapshot import Pod, RegistryEntry, Snapshot
from tests.remediation.samples import killed_pod, mixed, serving_pod, snapshot

pytestmark = pytest.mark.runbook("procedure-2")

PENDING = Pod("p9", "bad", "Pending", unschedulable_message="1 Insufficient nvidia.com/gpu")
THREE_AT_ONCE = snapshot(
    (serving_pod("p0", "bad"), killed_pod("p1"), PENDING),
    3,
    registry=RegistryEntry("llama-2-7b", "production", "disabled"),
    pod_completion=True,
    pod_completion_detail="pod p0: 200",
)


def text(seen: Snapshot) -> str:
    return "\n".join(report(failure_points(seen, Policy())))


def test_several_failures_are_all_named_with_their_evidence() -> None:
    said = text(THREE_AT_ONCE)
    for expected in ("oom_killed", "unschedulable", "registry_disabled", "OOMKilled", "Insufficient nvidia.com/gpu"):
        assert expected in said
    assert "against:" in said, "a pod that serves speaks against a general cause"
    assert "disputed" in said


def test_every_family_of_rules_is_accounted_for() -> None:
    assert {p.name for p in failure_points(THREE_AT_ONCE, Policy())} == {family.name for family in families()}
    healthy = text(snapshot(tuple(serving_pod(f"p{i}", "bad") for i in range(4))))
    assert all(family.name in healthy for family in families())


def test_the_best_proven_comes_first_and_what_is_not_confirmed_counts_half() -> None:
    def family(name: str, *findings: Finding) -> RuleFamily:
        return RuleFamily(name, lambda snapshot, policy: findings)

    weak = Finding("w", Family.NODE, 0.6, "weak")
    doubtful = Finding("d", Family.NODE, 0.9, "doubtful", confirmed=False)
    strong = Finding("s", Family.NODE, 0.9, "strong", against=(Evidence("x", "y", "z"),))
    rules = (family("a", doubtful), family("b", weak), family("c", strong), family("d"))
    assert [p.name for p in failure_points(mixed(3, 4), Policy(), rules)] == ["c", "b", "a", "d"]


def test_what_could_not_be_looked_at_is_not_called_clear() -> None:
    blind = dataclasses.replace(mixed(4, 4), registry=None, missing=("registry: no answer",))
    clear = next((line for line in text(blind).splitlines() if line.startswith("looked at")), "")
    assert "registry" not in clear
    assert "not seen: registry: registry: no answer" in text(blind)
