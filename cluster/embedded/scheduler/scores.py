"""Which of the nodes that fit is best. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.embedded.resources import Object
from cluster.embedded.scheduler.filters import Demand, NodeState, matches_term, tolerated

# kube-scheduler's weights of NodeResourcesFit, PodTopologySpread, TaintToleration and NodeAffinity.
_LEAST_ALLOCATED, _SPREAD, _TAINTS, _AFFINITY = 1.0, 2.0, 3.0, 2.0


def best(pod: Object, states: Sequence[NodeState]) -> NodeState:
    """The node to bind to: free capacity, few pods of the same owner, no soft taints, preferred affinity.

    Args:
        pod: to place.
        states: the nodes that fit, at least one. Among equals the first name wins.
    """
    return best_for(Demand.of(pod), states)


def best_for(demand: Demand, states: Sequence[NodeState]) -> NodeState:
    """The same for what a pod demands."""
    total = [_LEAST_ALLOCATED * least_allocated(demand, state) for state in states]
    for weight, costs in ((_SPREAD, _siblings(demand, states)), (_TAINTS, _soft_taints(demand, states))):
        highest = max(costs)
        if highest:
            total = [
                score + weight * 100 * (highest - cost) / highest for score, cost in zip(total, costs, strict=True)
            ]
    preferences = _preferences(demand.pod, states)
    if highest := max(preferences, default=0):
        total = [score + _AFFINITY * 100 * value / highest for score, value in zip(total, preferences, strict=True)]
    highest_score = max(total)
    equals = [state for score, state in zip(total, states, strict=True) if score == highest_score]
    return min(equals, key=lambda state: state.name)


def least_allocated(demand: Demand, state: NodeState) -> float:
    """0 to 100: the share of cpu and memory that stays free with the pod on the node."""
    has, asks, used = state.allocatable, demand.requests, state.used
    shares = []
    for name in ("cpu", "memory"):
        total = has.get(name, 0)
        if total > 0:
            shares.append(max(0.0, 100 * (total - used.get(name, 0) - asks.get(name, 0)) / total))
    return sum(shares) / len(shares) if shares else 0.0


def _siblings(demand: Demand, states: Sequence[NodeState]) -> list[int]:
    if not demand.owner:
        return [0] * len(states)
    return [state.owners.get(demand.owner, 0) for state in states]


def _soft_taints(demand: Demand, states: Sequence[NodeState]) -> list[int]:
    return [
        sum(
            taint.get("effect") == "PreferNoSchedule" and not tolerated(demand.tolerations, taint)
            for taint in state.taints
        )
        for state in states
    ]


def _preferences(pod: Object, states: Sequence[NodeState]) -> list[int]:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    if not terms:
        return []
    return [
        sum(int(term["weight"]) for term in terms if matches_term(term["preference"], state.node)) for state in states
    ]
