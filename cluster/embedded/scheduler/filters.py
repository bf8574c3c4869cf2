"""Which nodes a pod can run on, and the words the scheduler has for why not. Pure.

The filters, their order and their texts are kube-scheduler's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.embedded.meta import is_deleted, labels_of, matches_selector, tolerates
from cluster.embedded.pod_resources import Amounts, added
from cluster.embedded.resources import Object
from cluster.embedded.scheduler.resources import allocatable_of, requests_of

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_FIRST = ("pods", "cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node was refused.

    Attributes:
        text: as in the event.
        curable: whether removing other pods from the node could help.
    """

    text: str
    curable: bool = False


@dataclass(slots=True)
class NodeState:
    """A node with the pods that count on it (bound or about to be)."""

    node: Object
    pods: list[Object] = field(default_factory=list)
    used: Amounts = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["metadata"]["name"])

    @property
    def taints(self) -> list[dict[str, Any]]:
        """The taints."""
        return self.node["spec"].get("taints") or [] if self.node.get("spec") else []

    def add(self, pod: Object) -> None:
        """Count a pod."""
        self.pods.append(pod)
        self.used = added(self.used, requests_of(pod))


Filter = Callable[[Object, NodeState], list[Reason]]


def refusals(pod: Object, state: NodeState) -> list[Reason]:
    """Why the pod cannot run on the node; empty if it can. The first filter that refuses speaks alone."""
    for check in _FILTERS:
        if reasons := check(pod, state):
            return reasons
    return []


def tolerated(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def _tolerations(pod: Object) -> list[dict[str, Any]]:
    return pod["spec"].get("tolerations") or []


def _cordoned(pod: Object, state: NodeState) -> list[Reason]:
    cordoned = (state.node.get("spec") or {}).get("unschedulable")
    if cordoned and not tolerated(_tolerations(pod), _UNSCHEDULABLE):
        return [Reason("node(s) were unschedulable")]
    return []


def _tainted(pod: Object, state: NodeState) -> list[Reason]:
    hard = (taint for taint in state.taints if taint.get("effect") in ("NoSchedule", "NoExecute"))
    if all(tolerated(_tolerations(pod), taint) for taint in hard):
        return []
    return [Reason("node(s) had untolerated taint(s)")]


def _elsewhere(pod: Object, state: NodeState) -> list[Reason]:
    spec = pod["spec"]
    selector = spec.get("nodeSelector") or {}
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    fits = selector.items() <= labels_of(state.node).items()
    if fits and (wanted is None or any(matches_term(t, state.node) for t in wanted["nodeSelectorTerms"])):
        return []
    return [Reason("node(s) didn't match Pod's node affinity/selector")]


def matches_term(term: Object, node: Object) -> bool:
    """Whether a node matches a nodeSelectorTerm; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    names = {"metadata.name": node["metadata"]["name"]}
    return all(_expression(item, labels_of(node)) for item in expressions) and all(
        _expression(item, names) for item in fields
    )


def _expression(expression: Object, labels: dict[str, str]) -> bool:
    operator = expression["operator"]
    if operator not in ("Gt", "Lt"):
        return matches_selector({"matchExpressions": [expression]}, labels)
    try:
        left, right = int(labels[expression["key"]]), int(expression["values"][0])
    except (KeyError, ValueError):
        return False
    return left > right if operator == "Gt" else left < right


def _ports_taken(pod: Object, state: NodeState) -> list[Reason]:
    taken = {port for other in state.pods for port in _host_ports(other)}
    if any(_collide(one, other) for one in _host_ports(pod) for other in taken):
        return [Reason("node(s) didn't have free ports for the requested pod ports", curable=True)]
    return []


def _host_ports(pod: Object) -> list[tuple[str, int, str]]:
    return [
        (port.get("protocol", "TCP"), int(port["hostPort"]), port.get("hostIP") or "0.0.0.0")
        for container in pod["spec"].get("containers") or []
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def _collide(one: tuple[str, int, str], other: tuple[str, int, str]) -> bool:
    return one[:2] == other[:2] and (one[2] == other[2] or "0.0.0.0" in (one[2], other[2]))


def _too_little(pod: Object, state: NodeState) -> list[Reason]:
    has = allocatable_of(state.node)
    asks = requests_of(pod)
    order = [*_FIRST, *sorted(set(asks) - set(_FIRST))]
    reasons = []
    for name in order:
        ask, total = asks.get(name, 0), has.get(name, 0)
        if ask > 0 and ask > total - state.used.get(name, 0):
            text = "Too many pods" if name == "pods" else f"Insufficient {name}"
            reasons.append(Reason(text, curable=ask <= total))
    return reasons


_FILTERS: tuple[Filter, ...] = (_cordoned, _tainted, _elsewhere, _ports_taken, _too_little)


def claim_problem(pod: Object, claims: Mapping[str, Object]) -> str | None:
    """Why the volume claims of a pod keep it from every node, or None.

    Args:
        pod: the pod.
        claims: the PersistentVolumeClaims of its namespace, by name.
    """
    volumes = pod["spec"].get("volumes") or []
    names = [name for volume in volumes if (name := (volume.get("persistentVolumeClaim") or {}).get("claimName"))]
    for name in names:
        if name not in claims:
            return f'persistentvolumeclaim "{name}" not found'
        if is_deleted(claims[name]):
            return f'persistentvolumeclaim "{name}" is being deleted'
    if any(not claims[name]["spec"].get("volumeName") for name in names):
        return "pod has unbound immediate PersistentVolumeClaims"
    return None


def failure_message(refused: Sequence[Sequence[Reason]]) -> str:
    """The text of FailedScheduling.

    Args:
        refused: the reasons of each node.
    """
    if not refused:
        return "no nodes available to schedule pods"
    reasons = Counter(reason.text for reasons in refused for reason in reasons)
    preemption = Counter(
        "No preemption victims found for incoming pod"
        if all(reason.curable for reason in reasons)
        else "Preemption is not helpful for scheduling"
        for reasons in refused
    )
    head = f"0/{len(refused)} nodes are available:"
    return f"{head} {_counted(reasons)}. no new claims to deallocate, preemption: {head} {_counted(preemption)}."


def _counted(counter: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {text}" for text, count in counter.items()))
