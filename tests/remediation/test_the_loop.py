"""From the first look to the outcome, on a simulated platform that behaves on its own."""

from __future__ import annotations

import json
import threading
import time

import pytest

from clients.errors import EnvironmentUnusable
from remediation.act import Actor
from remediation.engine import Remediation
from remediation.model import Outcome
from remediation.observe import Observer
from remediation.policy import Policy
from remediation.ports import Completion
from remediation.render import as_json
from tests.remediation.samples import TARGET
from tests.remediation.world import World

POLICY = Policy(
    settling_seconds=0.0,
    traffic_window_seconds=0.1,
    poll_seconds=0.01,
    confirm_seconds=0.05,
    rollout_timeout_seconds=0.3,
    validate_timeout_seconds=0.3,
)


def remediate(world, policy=POLICY, deadline_seconds=3.0, patience_seconds=0.1, stop=None) -> Outcome:
    observer = Observer(world, TARGET, policy, world, world)
    actor = Actor(world, world, observer, TARGET, policy, world)
    emitted = []
    deadline = time.monotonic() + deadline_seconds
    stop = stop or threading.Event()
    run = Remediation(observer, actor, TARGET, policy, emitted.append, stop, deadline, patience_seconds)
    outcome = run.run()
    assert tuple(emitted) == outcome.events
    return outcome


def oom(**settings) -> World:
    """Two revisions, the newer with a limit that the model does not fit into, and a value of the owner's own."""
    keep = {"image": {"tag": "v9"}}
    world = World(**settings).install(**keep, resources={"limits": {"memory": "512Mi"}})
    return world.install(**keep, resources={"limits": {"memory": "64Mi"}})


def names(outcome):
    return [event.name for event in outcome.events if event.name != "observed"]


def decided(outcome):
    return next(event.details for event in outcome.events if event.name == "decided")


def test_an_oom_is_repaired_with_a_higher_limit_and_everything_else_kept():
    world = oom()
    outcome = remediate(world)
    assert outcome.status == "repaired"
    assert world.limit == "512Mi"
    assert world.revisions[-1]["config"]["image"] == {"tag": "v9"}
    assert names(outcome)[:3] == ["detected", "decided", "planned"]
    assert names(outcome)[-2:] == ["acted", "validated"]
    assert decided(outcome)["action"] == "fix_forward"
    assert decided(outcome)["healthy_share"] == 0.75
    assert "complete at router" in world.calls


def test_without_a_healthy_pod_it_rolls_back_to_what_was_good():
    world = oom(old_pods=0)
    outcome = remediate(world)
    assert outcome.status == "repaired"
    assert "rollback 1" in world.calls
    assert decided(outcome)["action"] == "immediate_rollback"
    assert decided(outcome)["rollback_revision"] == 1


def test_the_measured_error_rate_makes_the_decision():
    outcome = remediate(oom(errors_per_scrape=10))
    assert decided(outcome)["error_rate"] == 0.5
    assert decided(outcome)["action"] == "rollback"


def test_without_traffic_probes_are_sent_and_the_rate_stays_unknown():
    world = oom(requests_per_scrape=0)
    outcome = remediate(world)
    assert outcome.status == "repaired"
    assert decided(outcome)["error_rate"] is None
    assert decided(outcome)["action"] == "fix_forward_monitored"
    assert world.calls.index("complete at router") < world.calls.index("upgrade")


@pytest.mark.parametrize("owner", ["", "ana"])
def test_a_disabled_model_is_enabled_after_its_pods_have_answered(owner):
    world = World(status="disabled", owner=owner).install()
    outcome = remediate(world)
    assert outcome.status == "repaired"
    assert world.status == "ready"
    changes = [call for call in world.calls if call != "complete at pod"]
    assert world.calls[0] == "complete at pod"
    assert changes[:2] == ["clear cache", "enable"]
    assert changes[-1] == "complete at router"
    assert "upgrade" not in world.calls


@pytest.mark.parametrize("kept", [{"reason": "maintenance"}, {"reason": "broken", "owner": "ana"}])
def test_a_model_disabled_on_purpose_stays_disabled(kept):
    world = World(status="disabled", **kept).install()
    outcome = remediate(world)
    assert outcome.status == "nothing_to_do"
    assert "on purpose" in outcome.summary
    assert world.status == "disabled"
    assert "enable" not in world.calls


def test_somebody_who_disables_it_on_purpose_in_the_meantime_is_respected():
    world = World(status="disabled").install()
    world.clear_cache = lambda *_: setattr(world, "reason", "broken")
    outcome = remediate(world)
    assert outcome.status == "nothing_to_do"
    assert "on purpose" in outcome.summary
    assert world.status == "disabled"
    assert "enable" not in world.calls


def test_a_healthy_platform_is_left_alone():
    world = World().install()
    outcome = remediate(world)
    assert outcome.status == "nothing_to_do"
    assert names(outcome) == []
    assert not {"upgrade", "enable", "clear cache"} & set(world.calls)


def test_both_failures_are_repaired():
    world = oom(status="disabled")
    outcome = remediate(world)
    assert outcome.status == "repaired"
    assert world.fits
    assert world.status == "ready"
    assert world.calls.index("upgrade") < world.calls.index("enable")


def test_a_limit_that_is_still_too_low_is_handed_over_with_the_reason():
    world = oom(footprint="4Gi")
    outcome = remediate(world)
    assert outcome.status == "failed"
    assert "the new pods fail too" in outcome.summary
    assert world.calls.count("upgrade") == 1


def test_a_remedy_that_fails_is_followed_by_a_rollback_that_can_help():
    world = oom(helm_breaks=True)
    outcome = remediate(world)
    assert outcome.status == "repaired"
    assert [call for call in world.calls if call.startswith(("upgrade", "rollback"))] == ["upgrade", "rollback 1"]
    decisions = [e.details for e in outcome.events if e.name == "decided"]
    assert [d["action"] for d in decisions] == ["fix_forward", "rollback"]
    assert "did not hold" in decisions[1]["overrides"][0]


def test_after_a_remedy_and_a_rollback_that_did_not_help_a_person_is_called_and_nothing_is_touched_any_more():
    world = oom(helm_breaks=True, rollback_breaks=True)
    outcome = remediate(world)
    assert outcome.status == "failed"
    assert "a rollback was done and did not help" in outcome.summary
    assert [call for call in world.calls if call.startswith(("upgrade", "rollback"))] == ["upgrade", "rollback 1"]
    assert names(outcome)[-1] == "escalated"
    assert names(outcome).count("escalated") == 1


def test_a_repair_after_which_clients_still_fail_is_no_repair():
    world = oom(errors_per_scrape=1, errors_remain=True)
    outcome = remediate(world, deadline_seconds=0.8)
    assert outcome.status == "escalated"
    assert [e.details["ok"] for e in outcome.events if e.name == "validated"] == [False]
    assert any("SLO" in text for text in outcome.remains)


def test_a_model_that_answers_only_past_the_router_is_no_repair():
    world = oom()
    world.complete = lambda url, *_, **__: Completion(200 if "8000" in url else 502)
    outcome = remediate(world, deadline_seconds=0.8)
    assert outcome.status == "escalated"
    assert any("router: 502" in text for text in outcome.remains)


@pytest.mark.parametrize("fails", ["", "WaitRollout"])
def test_a_strategy_changed_for_a_rollout_is_put_back_whatever_happens(fails):
    world = oom(gpus=0, max_unavailable=0, old_pods=4, footprint="4Gi" if fails else "100Mi", rollback_breaks=True)
    place = world._pod

    def unplaced(*arguments):
        pod = place(*arguments)
        if not arguments[-1]:
            del pod["spec"]["nodeName"]
        return pod

    world._pod = unplaced
    outcome = remediate(world)
    patches = [call for call in world.calls if call.startswith("patch deployments")]
    assert "'maxSurge': 0, 'maxUnavailable': 1" in patches[0]
    assert world._rolling() == {"maxSurge": "25%", "maxUnavailable": 0}
    assert world.annotations == {}
    assert outcome.status == ("failed" if fails else "repaired")


def test_an_autoscaler_is_kept_still_meanwhile_and_then_works_as_before():
    world = oom()
    before = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    world.autoscaler = {
        "metadata": {"name": "hpa"},
        "spec": {
            "maxReplicas": 9,
            "scaleTargetRef": {"kind": "Deployment", "name": TARGET.release},
            "behavior": before,
        },
    }
    upgrade, paused = world.upgrade, []
    world.upgrade = lambda *a, **k: (paused.append(world.autoscaler["spec"]["behavior"]), upgrade(*a, **k))
    assert remediate(world).status == "repaired"
    assert [each["scaleUp"]["selectPolicy"] for each in paused] == ["Disabled"]
    assert world.autoscaler["spec"]["behavior"]["scaleDown"] == {"stabilizationWindowSeconds": 60}
    assert not world.autoscaler["spec"]["behavior"].get("scaleUp")
    assert not world.autoscaler["metadata"]["annotations"]


def test_what_a_killed_remediation_had_changed_for_a_time_is_put_back_by_the_next_one():
    world = World(max_unavailable=0).install()
    world.rolling = {"maxSurge": 0, "maxUnavailable": 1}
    kept = json.dumps({"maxSurge": "25%", "maxUnavailable": 0})
    world.annotations = {"remediation.gameday.dev/strategy-before": kept}
    assert remediate(world).status == "nothing_to_do"
    assert world._rolling() == {"maxSurge": "25%", "maxUnavailable": 0}
    assert world.annotations == {}


def test_zero_replicas_are_escalated_and_never_scaled():
    world = World(desired=0).install()
    outcome = remediate(world)
    assert outcome.status == "escalated"
    assert not [call for call in world.calls if call.startswith(("patch", "upgrade"))]


def test_time_that_runs_out_on_an_unhealthy_platform_is_no_success():
    world = World(errors_per_scrape=10).install()
    world.metrics = lambda url: "nonsense {"
    world._deployments = list
    outcome = remediate(world, deadline_seconds=0.2)
    assert outcome.status == "escalated"


def test_a_cluster_that_cannot_be_read_is_never_healthy():
    world = World().install()

    def unreachable():
        raise EnvironmentUnusable("down")

    world._pods = unreachable
    outcome = remediate(world, deadline_seconds=0.2)
    assert outcome.status == "escalated"
    assert "cannot be read" in outcome.remains[0]


def test_a_locked_release_is_waited_for_and_then_repaired():
    world = oom()
    world.revisions[-1]["info"]["status"] = "pending-upgrade"
    timer = threading.Timer(0.3, lambda: world.revisions[-1]["info"].update(status="deployed"))
    timer.start()
    outcome = remediate(world)
    timer.join()
    assert outcome.status == "repaired"
    assert "escalated" not in names(outcome)


def test_a_release_that_stays_locked_is_escalated():
    world = oom()
    world.revisions[-1]["info"]["status"] = "pending-upgrade"
    outcome = remediate(world, deadline_seconds=0.3)
    assert outcome.status == "escalated"
    assert "locked" in outcome.summary
    assert "upgrade" not in world.calls


def test_stopping_ends_it_without_a_change():
    stop = threading.Event()
    stop.set()
    world = oom()
    assert remediate(world, stop=stop).status == "escalated"
    assert "upgrade" not in world.calls


def test_more_changes_than_allowed_are_not_done():
    world = oom()
    outcome = remediate(world, POLICY.changed(max_actions=0))
    assert outcome.status == "escalated"
    assert "upgrade" not in world.calls


def test_the_outcome_and_its_events_are_json_without_secrets():
    outcome = remediate(oom())
    text = json.dumps(as_json(outcome)) + json.dumps(as_json(TARGET))
    assert "key-1" not in text
    assert "token-1" not in text
    times = [event.monotonic_seconds for event in outcome.events]
    assert times == sorted(times)
