"""The cluster as it will be: every node with the pods that count on it, kept true change by change."""

from __future__ import annotations

from cluster.embedded.resources import Object
from cluster.embedded.scheduler.filters import Demand, NodeState


class Snapshot:
    """Nodes and what is taken of them.

    A pod counts from the moment it is placed until it is removed, also on a node that is not there (yet).
    """

    def __init__(self) -> None:
        self._states: dict[str, NodeState] = {}
        self._places: dict[str, str] = {}
        self._demands: dict[str, dict[str, Demand]] = {}

    @property
    def states(self) -> list[NodeState]:
        """The nodes."""
        return list(self._states.values())

    def set_node(self, node: Object) -> None:
        """A node is there, or changed."""
        name = node["metadata"]["name"]
        if name in self._states:
            self._states[name].renew(node)
            return
        state = self._states[name] = NodeState(node)
        for demand in self._demands.get(name, {}).values():
            state.count(demand)

    def remove_node(self, name: str) -> None:
        """A node is gone."""
        self._states.pop(name, None)

    def place(self, pod: Object, node: str) -> None:
        """Count a pod on a node, as it is now. Raises ValueError when it asks for what is no quantity."""
        uid = pod["metadata"]["uid"]
        if self._places.get(uid) == node and self._demands[node][uid].pod["spec"] is pod["spec"]:
            return
        demand = Demand.of(pod)
        self.remove(uid)
        self._places[uid] = node
        self._demands.setdefault(node, {})[uid] = demand
        if node in self._states:
            self._states[node].count(demand)

    def remove(self, uid: str) -> None:
        """No longer count a pod."""
        node = self._places.pop(uid, None)
        if node is None:
            return
        demand = self._demands[node].pop(uid)
        if not self._demands[node]:
            del self._demands[node]
        if node in self._states:
            self._states[node].discount(demand)
