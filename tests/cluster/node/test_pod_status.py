"""The status of a pod follows from its containers, whatever state they are in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.node.podspec import qos_class
from cluster.embedded.node.status import ContainerView, PodFacts, pod_phase, pod_status

_FACTS = PodFacts("192.0.2.2", "10.0.0.1", "2026-01-01T00:00:00Z", sandbox_ready=True, terminating=False)


def _ended(code):
    return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}


_states = st.sampled_from([{"waiting": {"reason": "x"}}, {"running": {}}, _ended(0), _ended(1)])
_views = st.builds(
    ContainerView,
    name=st.just("c"),
    state=_states,
    last_state=st.sampled_from([{}, _ended(0), _ended(137)]),
    passed_startup=st.booleans(),
    passed_readiness=st.booleans(),
)


def _pod(views, policy):
    names = [f"c{n}" for n in range(len(views))]
    spec = {"restartPolicy": policy, "containers": [{"name": name, "image": "i"} for name in names]}
    return {"metadata": {"name": "p", "generation": 3}, "spec": spec}, dict(zip(names, views, strict=True))


@given(st.lists(_views, min_size=1, max_size=4), st.sampled_from(["Always", "OnFailure", "Never"]), st.booleans())
def test_phase_and_conditions_agree(views, policy, terminating):
    pod, named = _pod(views, policy)
    phase = pod_phase(pod, named, terminating=terminating)
    status = pod_status(pod, named, _FACTS, [])
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    if policy == "Always" and not terminating:
        assert phase in ("Pending", "Running")
    if any(view.is_running for view in views):
        assert phase in ("Pending", "Running")
    if phase == "Succeeded":
        assert not any(view.exit_code for view in views)
    assert (ready["status"] == "True") == all(view.ready for view in views)
    assert all(c["observedGeneration"] == 3 for c in status["conditions"])


@given(_views, _views)
def test_a_transition_time_changes_only_with_the_condition(before, after):
    pod, named = _pod([before], "Always")
    old = pod_status(pod, named, _FACTS, [])["conditions"]
    for condition in old:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    new = pod_status(pod, {"c0": after}, _FACTS, old)["conditions"]
    for was, now in zip(old, new, strict=True):
        assert (was["status"] == now["status"]) == (now["lastTransitionTime"] == "2020-01-01T00:00:00Z")


def test_conditions_of_others_stay():
    pod, named = _pod([ContainerView("c0", {"running": {}})], "Always")
    pod["status"] = {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}
    conditions = pod_status(pod, named, _FACTS, [])["conditions"]
    assert {"type": "DisruptionTarget", "status": "True"} in conditions


def test_the_qos_class_follows_requests_and_limits():
    def pod(resources):
        return {"spec": {"containers": [{"name": "a", "resources": resources}]}}

    both = {"cpu": "1", "memory": "1Gi"}
    assert qos_class(pod({})) == "BestEffort"
    assert qos_class(pod({"limits": {"nvidia.com/gpu": "1"}})) == "BestEffort"
    assert qos_class(pod({"limits": {"memory": "1Gi"}})) == "Burstable"
    assert qos_class(pod({"limits": both})) == "Guaranteed"
    assert qos_class(pod({"limits": both, "requests": {"cpu": "1000m"}})) == "Guaranteed"
    assert qos_class(pod({"limits": both, "requests": {"cpu": "500m"}})) == "Burstable"
