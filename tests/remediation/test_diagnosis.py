"""What is found in a snapshot, and what is not."""

from __future__ import annotations

import dataclasses

import pytest

from remediation.diagnose import diagnose
from remediation.rules.memory import OOM_KILLED
from remediation.rules.pods import CRASH_LOOPING, NO_DATA, NOT_READY, UNSCHEDULABLE, ZERO_REPLICAS
from remediation.rules.registry import REGISTRY_DISABLED, REGISTRY_DISABLED_ON_PURPOSE, REGISTRY_NOT_READY
from remediation.rules.release import RELEASE_PENDING
from remediation.rules.traffic import HIGH_ERROR_RATE
from remediation.snapshot import Container, HelmRevision, Pod, RegistryEntry, Snapshot, Termination
from tests.remediation.samples import OOM, killed_pod, mixed, serving_pod, snapshot, traffic


def causes(seen: Snapshot) -> list[str]:
    return [finding.cause for finding in diagnose(seen)]


HEALTHY = snapshot(tuple(serving_pod(f"p{i}", "bad") for i in range(4)))


def test_a_healthy_deployment_has_no_findings():
    assert causes(HEALTHY) == []


def test_an_oom_kill_is_read_from_the_container_status():
    (finding,) = (f for f in diagnose(mixed(3, 4)) if f.cause == OOM_KILLED)
    assert finding.confirmed
    assert finding.pods == ("bad-0",)
    assert finding.reasons == ("OOMKilled",)
    assert finding.facts["limit_bytes"] == 64 * 2**20
    assert "exit code 137" in str(finding.evidence[0])
    assert "3 pod(s) serve" in str(finding.against[0])


def test_exit_code_137_without_the_reason_is_a_crash_and_not_an_oom():
    killed = Container("vllm", waiting_reason="CrashLoopBackOff", last_terminated=Termination("Error", 137))
    pod = dataclasses.replace(killed_pod("bad-0"), containers=(killed,))
    found = causes(snapshot((serving_pod("good-0"), pod), 2))
    assert OOM_KILLED not in found
    assert CRASH_LOOPING in found


def test_an_old_kill_of_a_pod_that_has_settled_since_is_history():
    settled = serving_pod("p0", "bad", containers=(Container("vllm", True, 1, last_terminated=OOM),))
    assert causes(snapshot((settled,), 1)) == []


def test_kills_in_a_revision_that_is_being_replaced_are_not_found_again():
    seen = snapshot((killed_pod("old-0", replica_set="good"), serving_pod("new-0", "bad")), 2)
    assert OOM_KILLED not in causes(seen)


def test_a_terminating_pod_is_neither_healthy_nor_a_finding():
    leaving = killed_pod("bad-9", terminating=True)
    assert causes(dataclasses.replace(HEALTHY, pods=(*HEALTHY.pods, leaving))) == []


def test_hook_pods_do_not_count_as_healthy():
    hook = Pod("pre-install-check", ready=True, hook=True)
    assert dataclasses.replace(HEALTHY, pods=(hook,)).healthy == 0


def test_an_unscheduled_pod_is_a_finding_of_its_own():
    pod = Pod("p1", "bad", "Pending", unschedulable_message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    (finding,) = (f for f in diagnose(snapshot((serving_pod("p0", "bad"), pod), 2)) if f.confirmed)
    assert finding.cause == UNSCHEDULABLE
    assert "nvidia.com/gpu" in str(finding.evidence[0])


def test_pods_that_restart_again_and_again_are_not_healthy_because_they_are_ready():
    flapping = serving_pod("p0", "bad", stable=False, containers=(Container("vllm", True, restart_count=5),))
    seen = snapshot((flapping,), 1)
    assert causes(seen) == [CRASH_LOOPING]
    assert (seen.healthy, seen.stable) == (1, 0)


def test_a_starting_pod_is_reported_but_not_confirmed():
    (finding,) = diagnose(snapshot((serving_pod("p0", "bad"), Pod("p1", "bad", "Running")), 2))
    assert finding.cause == NOT_READY
    assert not finding.confirmed


def test_missing_pods_are_never_called_healthy():
    assert causes(snapshot((), 2)) == [NOT_READY]


@pytest.mark.parametrize("answered", [True, False, None])
def test_a_disabled_model_is_confirmed_only_by_a_completion_through_a_pod(answered):
    entry = RegistryEntry("llama-2-7b", "production", "disabled")
    (finding,) = diagnose(dataclasses.replace(HEALTHY, registry=entry, pod_completion=answered))
    assert finding.cause == REGISTRY_DISABLED
    assert finding.confirmed is (answered is True)


@pytest.mark.parametrize("kept", [{"reason": "maintenance"}, {"reason": "broken", "owner": "ana"}])
def test_a_model_disabled_on_purpose_is_left_alone(kept):
    entry = RegistryEntry("llama-2-7b", "production", "disabled", **kept)
    (finding,) = diagnose(dataclasses.replace(HEALTHY, registry=entry, pod_completion=True))
    assert finding.cause == REGISTRY_DISABLED_ON_PURPOSE
    assert not finding.actionable


def test_a_failed_status_is_not_enabled_either():
    entry = RegistryEntry("llama-2-7b", "production", "failed")
    (finding,) = diagnose(dataclasses.replace(HEALTHY, registry=entry, pod_completion=True))
    assert finding.cause == REGISTRY_NOT_READY
    assert not finding.actionable


def test_a_locked_release_is_found():
    seen = dataclasses.replace(HEALTHY, helm=(*HEALTHY.helm, HelmRevision(3, "pending-upgrade")))
    assert causes(seen) == [RELEASE_PENDING]


def test_failed_requests_keep_ready_pods_from_being_called_healthy():
    assert causes(dataclasses.replace(HEALTHY, traffic=traffic(100, 60))) == [HIGH_ERROR_RATE]


def test_zero_replicas_and_no_data_are_their_own_states():
    assert causes(snapshot((), 0)) == [ZERO_REPLICAS]
    assert snapshot((), 0).healthy_share is None
    assert causes(dataclasses.replace(HEALTHY, deployment=None)) == [NO_DATA]
