"""Which node a pod fits on, and in the scheduler's own words why not. Pure functions.

The texts are those of a real kube-scheduler (recordings: scheduler-gpu).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import Object

Amounts = dict[str, Decimal]


@dataclass(slots=True)
class NodeState:
    """A node with what is taken on it."""

    node: Object
    taken: Amounts = field(default_factory=dict)
    pods: list[Object] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["metadata"]["name"])

    def allocatable(self) -> Amounts:
        """What the node offers to pods."""
        offered = self.node.get("status", {}).get("allocatable") or {}
        return {key: parse_quantity(value) for key, value in offered.items()}

    def add(self, pod: Object) -> None:
        """Count a pod as placed here."""
        self.pods.append(pod)
        for key, amount in requests(pod).items():
            self.taken[key] = self.taken.get(key, Decimal(0)) + amount


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node was refused. ``final`` says that no freed resource would help."""

    reason: str
    final: bool


def requests(pod: Object) -> Amounts:
    """What a pod asks for: the sum of its containers, or its largest init container if that is more; and one pod."""
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec.get("containers") or []:
        for key, amount in _asked(container).items():
            total[key] = total.get(key, Decimal(0)) + amount
    for container in spec.get("initContainers") or []:
        for key, amount in _asked(container).items():
            total[key] = max(total.get(key, Decimal(0)), amount)
    total["pods"] = Decimal(1)
    return total


def refuse(pod: Object, state: NodeState) -> list[Refusal]:
    """Why a pod cannot go to a node; empty when it can. The first filter that objects names its reasons."""
    if state.node.get("spec", {}).get("unschedulable") and not _tolerates(
        pod, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    ):
        return [Refusal("node(s) were unschedulable", final=True)]
    for taint in state.node.get("spec", {}).get("taints") or []:
        if taint["effect"] in ("NoSchedule", "NoExecute") and not _tolerates(pod, taint):
            return [Refusal("node(s) had untolerated taint(s)", final=True)]
    if not _selected(pod, state.node):
        return [Refusal("node(s) didn't match Pod's node affinity/selector", final=True)]
    return _short(pod, state)


def _short(pod: Object, state: NodeState) -> list[Refusal]:
    offered = state.allocatable()
    refusals = []
    for key, amount in requests(pod).items():
        total = offered.get(key, Decimal(0))
        if amount > 0 and state.taken.get(key, Decimal(0)) + amount > total:
            reason = "Too many pods" if key == "pods" else f"Insufficient {key}"
            refusals.append(Refusal(reason, final=amount > total))
    return refusals


def choose(pod: Object, states: Sequence[NodeState]) -> NodeState | None:
    """The node for a pod: fewest pods of the same owner first, then the least taken share. None when none fits."""
    fitting = [state for state in states if not refuse(pod, state)]
    if not fitting:
        return None
    owner = _owner(pod)
    return min(fitting, key=lambda s: (sum(_owner(p) == owner for p in s.pods), _taken_share(s), s.name))


def explain(pod: Object, states: Sequence[NodeState]) -> str:
    """The FailedScheduling message."""
    total = len(states)
    if not total:
        return "no nodes available to schedule pods"
    refusals = [refuse(pod, state) for state in states]
    counted: Counter[str] = Counter(reason for node in refusals for reason in {r.reason for r in node})
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
    hopeless = sum(any(r.final for r in node) for node in refusals)
    parts = []
    if hopeless:
        parts.append(f"{hopeless} Preemption is not helpful for scheduling")
    if total - hopeless:
        parts.insert(0, f"{total - hopeless} No preemption victims found for incoming pod")
    tail = ", ".join(sorted(parts))
    prefix = f"0/{total} nodes are available"
    return f"{prefix}: {reasons}. no new claims to deallocate, preemption: {prefix}: {tail}."


def states_of(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, NodeState]:
    """Nodes with the pods that hold resources on them. A pod holds them until it is finished or gone."""
    states = {node["metadata"]["name"]: NodeState(node) for node in nodes}
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name in states and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            states[name].add(pod)
    return states


def _asked(container: Mapping[str, Any]) -> Amounts:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {key: parse_quantity(value) for key, value in asked.items()}


def _tolerates(pod: Object, taint: Mapping[str, Any]) -> bool:
    for toleration in pod["spec"].get("tolerations") or []:
        if toleration.get("effect") not in (None, "", taint["effect"]):
            continue
        if toleration.get("operator") == "Exists":
            if toleration.get("key") in (None, "", taint["key"]):
                return True
        elif toleration.get("key") == taint["key"] and (toleration.get("value") or "") == (taint.get("value") or ""):
            return True
    return False


def _selected(pod: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if not (pod["spec"].get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(
        all(_matches(e, labels) for e in term.get("matchExpressions") or [])
        for term in affinity.get("nodeSelectorTerms") or []
    )


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
        case "Lt":
            return value is not None and value.isdigit() and int(value) < int(values[0])
    return False


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or []
    return str(next((o["uid"] for o in owners if o.get("controller")), pod["metadata"].get("uid", "")))


def _taken_share(state: NodeState) -> Decimal:
    offered = state.allocatable()
    shares = [state.taken.get(k, Decimal(0)) / offered[k] for k in ("cpu", "memory") if offered.get(k)]
    return sum(shares, Decimal(0))
