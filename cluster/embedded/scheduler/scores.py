"""Which of the nodes that fit is best. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.embedded.meta import controller_of
from cluster.embedded.resources import Object
from cluster.embedded.scheduler.filters import NodeState, matches_term, tolerated
from cluster.embedded.scheduler.resources import allocatable_of, requests_of

# kube-scheduler's weights of NodeResourcesFit, PodTopologySpread, TaintToleration and NodeAffinity.
_LEAST_ALLOCATED, _SPREAD, _TAINTS, _AFFINITY = 1.0, 2.0, 3.0, 2.0


def best(pod: Object, states: Sequence[NodeState]) -> NodeState:
    """The node to bind to: free capacity, few pods of the same owner, no soft taints, preferred affinity.

    Args:
        pod: to place.
        states: the nodes that fit, at least one. Among equals the first name wins.
    """
    total = [_LEAST_ALLOCATED * least_allocated(pod, state) for state in states]
    for weight, costs in ((_SPREAD, _siblings(pod, states)), (_TAINTS, _soft_taints(pod, states))):
        highest = max(costs)
        if highest:
            total = [
                score + weight * 100 * (highest - cost) / highest for score, cost in zip(total, costs, strict=True)
            ]
    preferences = _preferences(pod, states)
    if highest := max(preferences):
        total = [score + _AFFINITY * 100 * value / highest for score, value in zip(total, preferences, strict=True)]
    ranked = sorted(zip(total, states, strict=True), key=lambda item: (-item[0], item[1].name))
    return ranked[0][1]


def least_allocated(pod: Object, state: NodeState) -> float:
    """0 to 100: the share of cpu and memory that stays free with the pod on the node."""
    has, asks = allocatable_of(state.node), requests_of(pod)
    shares = []
    for name in ("cpu", "memory"):
        total = has.get(name, 0)
        if total > 0:
            shares.append(max(0.0, 100 * (total - state.used.get(name, 0) - asks.get(name, 0)) / total))
    return sum(shares) / len(shares) if shares else 0.0


def _siblings(pod: Object, states: Sequence[NodeState]) -> list[int]:
    owner = controller_of(pod)
    if owner is None:
        return [0] * len(states)
    return [
        sum((other := controller_of(item)) is not None and other["uid"] == owner["uid"] for item in state.pods)
        for state in states
    ]


def _soft_taints(pod: Object, states: Sequence[NodeState]) -> list[int]:
    tolerations = pod["spec"].get("tolerations") or []
    return [
        sum(taint.get("effect") == "PreferNoSchedule" and not tolerated(tolerations, taint) for taint in state.taints)
        for state in states
    ]


def _preferences(pod: Object, states: Sequence[NodeState]) -> list[int]:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return [
        sum(int(term["weight"]) for term in terms if matches_term(term["preference"], state.node)) for state in states
    ]
