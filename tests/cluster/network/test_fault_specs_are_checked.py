"""The spec of a NetworkFault: what is refused, and what a valid one concerns. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.network.fault_spec import InvalidFault, parse
from cluster.embedded.network.flows import CLEAR, LinkFault, combined

PODS: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "web"}}}
SERVICE: dict[str, Any] = {"service": "web"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (None, "spec"),
        ({"target": PODS}, "spec.type"),
        ({"target": PODS, "type": "Slow"}, "spec.type"),
        ({"target": PODS, "type": ["Delay"]}, "spec.type"),
        ({"type": "BlackHole"}, "spec.target"),
        ({"target": {**PODS, **SERVICE}, "type": "BlackHole"}, "spec.target"),
        ({"target": {"service": 1}, "type": "BlackHole"}, "spec.target.service"),
        ({"target": {"podSelector": "app=web"}, "type": "BlackHole"}, "spec.target.podSelector"),
        ({"target": {"podSelector": {"matchLabels": {"a": 1}}}, "type": "BlackHole"}, "matchLabels"),
        (
            {"target": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}, "type": "BlackHole"},
            "matchExpressions[0].operator",
        ),
        (
            {"target": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "type": "BlackHole"},
            "matchExpressions[0].values",
        ),
        ({"target": PODS, "type": "Delay"}, "spec.delaySeconds"),
        ({"target": PODS, "type": "Delay", "delaySeconds": 0}, "spec.delaySeconds"),
        ({"target": PODS, "type": "Delay", "delaySeconds": True}, "spec.delaySeconds"),
        ({"target": PODS, "type": "Delay", "delaySeconds": float("nan")}, "spec.delaySeconds"),
        ({"target": PODS, "type": "Delay", "delaySeconds": 1, "jitterSeconds": 2}, "spec.jitterSeconds"),
        ({"target": PODS, "type": "Delay", "delaySeconds": 1, "ratio": 1}, "spec.ratio"),
        ({"target": PODS, "type": "Reset", "ratio": 1.1}, "spec.ratio"),
        ({"target": PODS, "type": "Reset", "ratio": 0}, "spec.ratio"),
        ({"target": PODS, "type": "Partition"}, "peer.podSelector"),
        ({"target": SERVICE, "peer": PODS, "type": "Partition"}, "target.podSelector"),
        ({"target": PODS, "peer": SERVICE, "type": "BlackHole"}, "spec.peer"),
        ({"target": PODS, "type": "DNS", "dnsAnswer": "NXDOMAIN"}, "spec.dnsName"),
        ({"target": PODS, "type": "DNS", "dnsName": "web"}, "spec.dnsAnswer"),
        ({"target": PODS, "type": "DNS", "dnsName": "api.example.org", "dnsAnswer": "NXDOMAIN"}, "spec.dnsName"),
        ({"target": PODS, "type": "BlackHole", "ttlSeconds": -1}, "spec.ttlSeconds"),
        ({"target": PODS, "type": "BlackHole", "durationSeconds": 1}, "spec.durationSeconds"),
    ],
)
def test_an_invalid_spec_is_refused_by_the_name_of_its_field(spec: object, field: str) -> None:
    with pytest.raises(InvalidFault) as refused:
        parse(spec, "system")
    assert field in str(refused.value)


@pytest.mark.parametrize(
    ("target", "name", "full"),
    [
        (PODS, "web", "web.system.svc.cluster.local"),
        (PODS, "web.other", "web.other.svc.cluster.local"),
        (PODS, "web.other.svc", "web.other.svc.cluster.local"),
        (PODS, "WEB.other.svc.cluster.local.", "web.other.svc.cluster.local"),
        (SERVICE, None, "web.system.svc.cluster.local"),
    ],
)
def test_a_name_may_be_given_as_pods_give_it(target: dict[str, Any], name: str | None, full: str) -> None:
    spec = {"target": target, "type": "DNS", "dnsAnswer": "SERVFAIL", **({"dnsName": name} if name else {})}
    assert parse(spec, "system").dns_name == full


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("target", "peer", "type", "delaySeconds", "jitterSeconds", "ratio", "dnsName", "dnsAnswer", "ttlSeconds")
TYPES = ("Delay", "Reset", "BlackHole", "DNS", "Partition")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | st.just(PODS) | st.just(SERVICE)), st.sampled_from(TYPES))
def test_whatever_is_written_into_a_spec_it_is_accepted_or_refused(spec: dict[str, Any], kind: str) -> None:
    try:
        fault = parse({**spec, "type": kind}, "system")
    except InvalidFault:
        return
    assert fault.kind == kind


RATIOS = st.floats(0, 1)


@given(st.lists(st.builds(LinkFault, st.floats(0, 9), st.just(0.0), RATIOS, st.booleans()), max_size=4))
def test_faults_together_are_at_least_as_bad_as_each(faults: list[LinkFault]) -> None:
    both = combined(faults)
    assert all(both.delay_seconds >= one.delay_seconds for one in faults)
    assert all(both.reset_ratio >= one.reset_ratio - 1e-9 for one in faults)
    assert both.black_hole is any(one.black_hole for one in faults)
    assert combined([]) == CLEAR
