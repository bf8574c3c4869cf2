"""The life of the nodes of a recording: heartbeats, and what their kubelets post and stop posting.

The script that was recorded played the kubelets by requests of its own, which were not recorded; what it did is told by
what the observer saw: a Ready condition with a kubelet's reason was posted then, and a node that became Unknown had not
been heard of for the grace period before.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.api import target
from tests.conformance.api.http import Http, Observer
from tests.conformance.api.player import Player

_BEAT_SECONDS = 10.0
_GRACE_SECONDS = 50.0
_LOST = "NodeStatusUnknown"


@dataclass(frozen=True, slots=True)
class Step:
    """What a node's kubelet did at ``seconds`` of the recording: it posted conditions, or fell silent (none)."""

    seconds: float
    node: str
    conditions: list[dict[str, Any]]

    @property
    def is_ready(self) -> bool:
        """Whether the kubelet said that its node is well."""
        return any((c["type"], c["status"]) == ("Ready", "True") for c in self.conditions)


def steps(part: dict[str, Any]) -> list[Step]:
    """What the kubelets did in a part of a recording, in order."""
    found: list[Step] = []
    last: dict[str, tuple[str, str]] = {}
    for event in part.get("watch") or []:
        if event["resource"] != "nodes" or event["type"] != "MODIFIED":
            continue
        node, ready = event["object"]["metadata"]["name"], _ready(event["object"])
        state = (str(ready.get("status")), str(ready.get("reason")))
        if not ready or last.get(node, ("True", "KubeletReady")) == state:
            continue
        last[node] = state
        if state[1] == _LOST:
            before = max((step.seconds for step in found if step.node == node), default=0.0)
            found.append(Step(max(before, event["t"] - _GRACE_SECONDS), node, []))
        else:
            found.append(Step(event["t"], node, event["object"]["status"]["conditions"]))
    return sorted(found, key=lambda step: step.seconds)


def _ready(node: dict[str, Any]) -> dict[str, Any]:
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


@dataclass(slots=True)
class Kubelets:
    """The nodes' kubelets during a replay.

    Attributes:
        silent: nodes whose leases are not renewed.
    """

    http: Http
    player: Player
    observer: Observer
    silent: set[str] = field(default_factory=set)

    async def keep_beating(self, node: str) -> None:
        """Renew a node's lease until cancelled."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            if node not in self.silent:
                await target.beat(self.http, node)

    async def play(self, planned: list[Step], began: float) -> None:
        """Do what was recorded; ``began`` is when the recording's second 0 is, on the loop's clock."""
        loop = asyncio.get_running_loop()
        for step in planned:
            await asyncio.sleep(max(0.0, began + step.seconds - loop.time()))
            with contextlib.suppress(ConnectionError):
                await self._do(step)

    async def _do(self, step: Step) -> None:
        if not step.conditions:
            self.silent.add(step.node)
            return
        await target.post_conditions(self.http, step.node, step.conditions)
        if not step.is_ready:
            self.player.absent.add(step.node)
            return
        self.silent.discard(step.node)
        self.player.absent.discard(step.node)
        await target.beat(self.http, step.node)
        for (resource, _, _), versions in list(self.observer.history.items()):
            if resource == "pods" and versions[-1]["spec"].get("nodeName") == step.node:
                self.player.follow("MODIFIED", versions[-1])
