"""Which nodes a pod can run on, and the words the scheduler has for why not. Pure.

The filters, their order and their texts are kube-scheduler's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.embedded.meta import controller_of, is_deleted, labels_of, matches_selector, tolerates
from cluster.embedded.pod_resources import Amounts
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


HostPort = tuple[str, int, str]
"""(protocol, port, address)"""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pod asks of any node, read once and then held against many.

    Attributes:
        order: the resources in the order in which they are spoken of.
        owner: uid of its controller, or empty.
    """

    pod: Object
    requests: Amounts
    order: tuple[str, ...]
    host_ports: tuple[HostPort, ...]
    tolerations: Sequence[Mapping[str, Any]]
    owner: str

    @classmethod
    def of(cls, pod: Object) -> Demand:
        """Read a pod. Raises ValueError when a quantity is none."""
        requests = requests_of(pod)
        order = (*_FIRST, *sorted(set(requests) - set(_FIRST)))
        owner = controller_of(pod)
        tolerations = pod["spec"].get("tolerations") or ()
        return cls(pod, requests, order, tuple(_host_ports(pod)), tolerations, str(owner["uid"]) if owner else "")


@dataclass(slots=True)
class NodeState:
    """A node with what the pods that count on it (bound or about to be) hold together."""

    node: Object
    used: Amounts = field(default_factory=dict)
    host_ports: Counter[HostPort] = field(default_factory=Counter)
    owners: Counter[str] = field(default_factory=Counter)
    allocatable: Amounts = field(init=False)

    def __post_init__(self) -> None:
        self.allocatable = allocatable_of(self.node)

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["metadata"]["name"])

    @property
    def taints(self) -> list[dict[str, Any]]:
        """The taints."""
        return self.node["spec"].get("taints") or [] if self.node.get("spec") else []

    def renew(self, node: Object) -> None:
        """The node changed; its pods stay."""
        self.node, self.allocatable = node, allocatable_of(node)

    def add(self, pod: Object) -> None:
        """Count a pod."""
        self.count(Demand.of(pod))

    def count(self, demand: Demand) -> None:
        """Count what a pod holds."""
        self._count(demand, 1)

    def discount(self, demand: Demand) -> None:
        """No longer count what a pod held."""
        self._count(demand, -1)

    def _count(self, demand: Demand, sign: int) -> None:
        for name, amount in demand.requests.items():
            self.used[name] = self.used.get(name, 0) + sign * amount
        if demand.owner:
            self.owners[demand.owner] += sign
            if not self.owners[demand.owner]:
                del self.owners[demand.owner]
        for port in demand.host_ports:
            self.host_ports[port] += sign
            if not self.host_ports[port]:
                del self.host_ports[port]


Filter = Callable[[Demand, NodeState], list[Reason]]


def refusals(pod: Object, state: NodeState) -> list[Reason]:
    """Why the pod cannot run on the node; empty if it can."""
    return refused(Demand.of(pod), state)


def refused(demand: Demand, state: NodeState) -> list[Reason]:
    """Why what a pod demands is not to be had on the node. The first filter that refuses speaks alone."""
    for check in _FILTERS:
        if reasons := check(demand, state):
            return reasons
    return []


def tolerated(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def _cordoned(demand: Demand, state: NodeState) -> list[Reason]:
    cordoned = (state.node.get("spec") or {}).get("unschedulable")
    if cordoned and not tolerated(demand.tolerations, _UNSCHEDULABLE):
        return [Reason("node(s) were unschedulable")]
    return []


def _tainted(demand: Demand, state: NodeState) -> list[Reason]:
    if not state.taints:
        return []
    hard = (taint for taint in state.taints if taint.get("effect") in ("NoSchedule", "NoExecute"))
    if all(tolerated(demand.tolerations, taint) for taint in hard):
        return []
    return [Reason("node(s) had untolerated taint(s)")]


def _elsewhere(demand: Demand, state: NodeState) -> list[Reason]:
    spec = demand.pod["spec"]
    selector = spec.get("nodeSelector") or {}
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    fits = not selector or selector.items() <= labels_of(state.node).items()
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


def _ports_taken(demand: Demand, state: NodeState) -> list[Reason]:
    if any(_collide(one, other) for one in demand.host_ports for other in state.host_ports):
        return [Reason("node(s) didn't have free ports for the requested pod ports", curable=True)]
    return []


def _host_ports(pod: Object) -> list[HostPort]:
    return [
        (port.get("protocol", "TCP"), int(port["hostPort"]), port.get("hostIP") or "0.0.0.0")
        for container in pod["spec"].get("containers") or []
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def _collide(one: HostPort, other: HostPort) -> bool:
    return one[:2] == other[:2] and (one[2] == other[2] or "0.0.0.0" in (one[2], other[2]))


def _too_little(demand: Demand, state: NodeState) -> list[Reason]:
    has, asks = state.allocatable, demand.requests
    reasons = []
    for name in demand.order:
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
