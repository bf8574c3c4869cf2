"""What is planned for a decision: which changes, in which order, and the command lines for them."""

from __future__ import annotations

import dataclasses

import pytest

from remediation.decide import decide
from remediation.diagnose import diagnose
from remediation.memory_limits import new_limit, value_path
from remediation.model import Phase
from remediation.plan import plan
from remediation.policy import Policy
from remediation.remedy import Plan, Situation
from remediation.snapshot import HelmRevision, Node, RegistryEntry, Snapshot
from tests.remediation.samples import TARGET, mixed, serving_pod, snapshot, traffic

GI, MI = 2**30, 2**20
DISABLED = RegistryEntry("llama-2-7b", "production", "disabled")


def planned(seen: Snapshot, policy: Policy | None = None) -> Plan:
    policy = policy or Policy()
    situation = Situation(seen, policy, TARGET, tuple(diagnose(seen)))
    return plan(decide(situation), situation)


def names(result: Plan) -> list[str]:
    return [action.name for action in result.actions]


def test_an_oom_is_fixed_forward_with_one_value_and_then_proven():
    result = planned(mixed(3, 4))
    assert names(result) == ["VerifyEndpoints", "HelmUpgrade", "WaitRollout", "VerifyCompletion", "VerifyRouting"]
    assert result.actions[1].command == (
        "helm upgrade llama-2-7b-production ./vllm-deployment --namespace system --reset-then-reuse-values "
        "--set resources.limits.memory=512Mi"
    )


def test_a_rollback_names_the_revision():
    result = planned(mixed(0, 4))
    assert names(result)[1:3] == ["HelmRollback", "WaitRollout"]
    assert result.actions[1].command == "helm rollback llama-2-7b-production 1 --namespace system"


def test_a_disabled_model_is_verified_then_uncached_then_enabled_then_routed():
    pods = tuple(serving_pod(f"p{i}", "bad") for i in range(4))
    result = planned(snapshot(pods, registry=DISABLED, pod_completion=True))
    order = [name for name in names(result) if name not in ("VerifyCompletion", "VerifyEndpoints")]
    assert names(result)[1] == "VerifyCompletion"
    assert order == ["ClearCacheKey", "EnableModel", "VerifyRouting"]
    enable = next(a.command for a in result.actions if a.name == "EnableModel")
    assert enable == "admin-cli registry enable --model-name llama-2-7b --environment production"


def test_with_both_failures_the_pods_come_first():
    result = planned(mixed(3, 4, registry=DISABLED, pod_completion=True))
    order = names(result)
    assert order.index("WaitRollout") < order.index("EnableModel")
    assert "VerifyCompletion" in order[order.index("WaitRollout") : order.index("EnableModel")]


def test_phases_follow_procedure_3():
    tight = mixed(3, 4, nodes=(Node("gpu-1", memory_bytes=8 * GI, gpus=3, gpus_in_use=3),))
    assert tight.deployment is not None
    unplaced = tuple(dataclasses.replace(p, node="") if not p.ready else p for p in tight.pods)
    written = {"maxSurge": "25%", "maxUnavailable": 0}
    deployment = dataclasses.replace(tight.deployment, max_unavailable=0, rolling_update=written)
    result = planned(dataclasses.replace(tight, pods=unplaced, deployment=deployment))
    phases = [list(Phase).index(a.phase) for a in result.actions]
    assert phases == sorted(phases)
    assert names(result)[1:4] == ["HelmUpgrade", "PatchStrategy", "WaitRollout"]
    assert '"maxSurge":0,"maxUnavailable":1' in result.actions[2].command
    assert '"maxSurge":"25%","maxUnavailable":0' in result.actions[-1].command


def test_nothing_is_scaled_flushed_or_disabled():
    for seen in (mixed(3, 4), mixed(0, 4), mixed(2, 4, registry=DISABLED, pod_completion=True)):
        text = " ".join(action.command for action in planned(seen).actions)
        assert not any(word in text for word in ("scale", "replicas", "FLUSH", "disable", "delete pod"))


def test_no_secret_is_printed():
    pods = tuple(serving_pod(f"p{i}", "bad") for i in range(4))
    result = planned(snapshot(pods, registry=DISABLED, pod_completion=True))
    assert "token-1" not in repr(result) + repr(TARGET)
    assert "key-1" not in repr(result) + repr(TARGET)


def test_a_healthy_deployment_gets_no_actions():
    assert planned(snapshot(tuple(serving_pod(f"p{i}", "bad") for i in range(4)))).actions == ()


def test_a_plan_with_too_many_changes_is_refused():
    result = planned(mixed(3, 4), Policy(max_actions=0))
    assert result.actions == ()
    assert "more than 0 changes" in result.refused


@pytest.mark.parametrize(
    ("node", "worked", "expected"),
    [
        (8 * GI, 512 * MI, 512 * MI),
        (8 * GI, 100 * MI, 128 * MI),
        (8 * GI, None, 128 * MI),
        (100 * MI, 512 * MI, 100 * MI),
        (64 * MI, 512 * MI, None),
    ],
)
def test_the_new_limit_doubles_reaches_what_worked_and_stays_within_a_node(node, worked, expected):
    history = (
        HelmRevision(1, "superseded", fingerprint="good", memory_limit_bytes=worked),
        HelmRevision(2, "deployed", fingerprint="bad", memory_limit_bytes=64 * MI),
    )
    seen = mixed(3, 4, helm=history, nodes=(Node("n", memory_bytes=node, gpus=8),))
    assert new_limit(seen, 64 * MI, Policy()).size_bytes == expected


def test_a_limit_that_no_node_can_give_is_refused_with_the_reason():
    result = planned(mixed(3, 4, nodes=(Node("n", memory_bytes=64 * MI, gpus=8),)))
    assert result.actions == ()
    assert "no node has more memory" in result.refused


def test_a_node_that_the_pods_may_not_run_on_gives_no_memory():
    taint = {"key": "maintenance", "value": "true", "effect": "NoSchedule"}
    nodes = (
        Node("tainted", memory_bytes=64 * GI, gpus=8, taints=(taint,)),
        Node("cordoned", memory_bytes=64 * GI, gpus=8, schedulable=False),
        Node("usable", memory_bytes=96 * MI, gpus=8),
    )
    assert new_limit(mixed(3, 4, nodes=nodes), 64 * MI, Policy()).size_bytes == 96 * MI


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"resources": {"limits": {"memory": "64Mi"}}}, "resources.limits.memory"),
        ({"vllm": {"resources": {"limits": {"memory": "65536Ki"}}}}, "vllm.resources.limits.memory"),
        ({"resources": {"limits": {"memory": "1Gi"}}}, None),
        ({"a": {"limits": {"memory": "64Mi"}}, "b": {"limits": {"memory": "64Mi"}}}, None),
        ({"resources": {"requests": {"memory": "64Mi"}, "limits": None}}, None),
        ({}, None),
    ],
)
def test_the_value_to_change_is_the_one_that_sets_the_failing_limit(values, expected):
    path = value_path(values, 64 * MI)
    assert (".".join(path) if path else None) == expected


def test_the_only_serving_pod_never_gives_way_to_a_rollout():
    full = (Node("gpu-1", memory_bytes=8 * GI, gpus=1, gpus_in_use=1),)
    seen = mixed(1, 1, nodes=full, traffic=traffic(10, 0))
    assert seen.deployment is not None
    unplaced = tuple(dataclasses.replace(p, node="") if not p.ready else p for p in seen.pods)
    tight = dataclasses.replace(seen.deployment, max_unavailable=0)
    result = planned(dataclasses.replace(seen, pods=unplaced, deployment=tight))
    assert result.actions == ()
    assert "only serving pod" in result.refused
