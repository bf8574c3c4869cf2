"""The arithmetic of a Deployment: how many replicas each ReplicaSet should have next. Pure.

The rules are those of "Deployments: Rolling Update Deployment" and "Proportional scaling" in the Kubernetes
documentation: never more than replicas + maxSurge pods, never fewer than replicas - maxUnavailable available ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.embedded.resources import Object

DEFAULT_STEP = "25%"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The shape of a rollout, in pods."""

    replicas: int
    max_surge: int
    max_unavailable: int
    rolling: bool = True

    @property
    def min_available(self) -> int:
        """As many pods must stay available."""
        return self.replicas - self.max_unavailable

    @property
    def max_total(self) -> int:
        """As many pods may exist."""
        return self.replicas + self.max_surge


@dataclass(frozen=True, slots=True)
class Size:
    """One ReplicaSet: what it should have (spec) and what is available (status)."""

    name: str
    replicas: int
    available: int = 0
    created: str = ""
    max_replicas: int | None = None
    """What the Deployment's maximum was when this ReplicaSet was last scaled (its annotation)."""

    @property
    def staying(self) -> int:
        """Available pods that stay: the status may still count those that were just scaled away."""
        return min(self.available, self.replicas)


def bounds_of(deployment: Object) -> Bounds:
    """The bounds of a Deployment. Percentages of surge round up, of unavailability down; not both may be zero."""
    spec = deployment["spec"]
    replicas = 1 if spec.get("replicas") is None else int(spec["replicas"])
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return Bounds(replicas, 0, 0, rolling=False)
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", DEFAULT_STEP), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", DEFAULT_STEP), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas, surge, min(unavailable, replicas))


def scaled(value: Any, total: int, *, up: bool) -> int:
    """An IntOrString: a number, or a percentage of the total rounded up or down."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    percent = int(text[:-1]) * total
    return -(-percent // 100) if up else percent // 100


def grown(bounds: Bounds, new: Size, total: int) -> int:
    """How many replicas the new ReplicaSet should have, when ``total`` are asked for over all ReplicaSets."""
    if not bounds.rolling or new.replicas > bounds.replicas:
        return bounds.replicas
    room = bounds.max_total - total
    return new.replicas + max(0, min(room, bounds.replicas - new.replicas))


def shrunk(bounds: Bounds, new: Size, old: Sequence[Size]) -> dict[str, int]:
    """The old ReplicaSets that should become smaller, and how small: unhealthy pods first, then oldest first."""
    total = new.replicas + sum(size.replicas for size in old)
    budget = total - bounds.min_available - (new.replicas - new.staying)
    if budget <= 0 or not old:
        return {}
    targets = {size.name: size.replicas for size in old}
    ordered = sorted(old, key=lambda size: (size.created, size.name))
    _shrink_unhealthy(targets, ordered, budget)
    spare = new.staying + sum(size.staying for size in old) - bounds.min_available
    for size in ordered:
        if spare <= 0:
            break
        step = min(targets[size.name], spare)
        targets[size.name] -= step
        spare -= step
    return {size.name: targets[size.name] for size in old if targets[size.name] != size.replicas}


def _shrink_unhealthy(targets: dict[str, int], ordered: Iterable[Size], budget: int) -> None:
    for size in ordered:
        step = min(budget, size.replicas - size.staying)
        targets[size.name] -= step
        budget -= step


def proportional(bounds: Bounds, sizes: Sequence[Size], fallback_max: int) -> dict[str, int]:
    """How a change of ``replicas`` in the middle of a rollout is shared out over the active ReplicaSets.

    Args:
        bounds: of the Deployment now.
        sizes: the active ReplicaSets.
        fallback_max: the former maximum, for ReplicaSets that do not know it.
    """
    allowed = bounds.max_total if bounds.replicas > 0 else 0
    change = allowed - sum(size.replicas for size in sizes)
    # The larger first; among equals the newer when growing, the older when shrinking.
    ordered = sorted(sizes, key=lambda size: (size.created, size.name), reverse=change > 0)
    ordered.sort(key=lambda size: size.replicas, reverse=True)
    targets, added = {size.name: size.replicas for size in ordered}, 0
    for size in ordered:
        share, left = _share(bounds, size, fallback_max), change - added
        step = max(0, min(share, left)) if change > 0 else min(0, max(share, left))
        targets[size.name] += step
        added += step
    if ordered and change:
        first = ordered[0].name
        targets[first] = max(0, targets[first] + change - added)
    return targets


def _share(bounds: Bounds, size: Size, fallback_max: int) -> int:
    if bounds.replicas == 0:
        return -size.replicas
    before = size.max_replicas or fallback_max
    if not before:
        return 0
    return math.floor(size.replicas * bounds.max_total / before + 0.5) - size.replicas


def surplus_history(sets: Iterable[Mapping[str, Any]], limit: int) -> list[str]:
    """Names of old ReplicaSets to delete, lowest revision first, so that ``limit`` remain.

    Args:
        sets: mappings with ``name``, ``revision`` and ``idle`` (no pods, and its status is up to date).
        limit: ``revisionHistoryLimit``.
    """
    ordered = sorted(sets, key=lambda item: item["revision"])
    return [item["name"] for item in ordered[: max(0, len(ordered) - limit)] if item["idle"]]
