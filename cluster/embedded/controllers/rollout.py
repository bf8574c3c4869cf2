"""How a Deployment moves from one ReplicaSet to the next: pure arithmetic, no API.

Source: Kubernetes, "Deployments: rolling update" (maxSurge rounds up, maxUnavailable rounds down, and not both are 0).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Replicas:
    """What matters of a ReplicaSet in a rollout: wanted, existing and available pods."""

    name: str
    spec: int
    actual: int
    available: int


def int_or_percent(value: int | str, total: int, *, round_up: bool) -> int:
    """Resolve ``3`` or ``25%`` against a total."""
    if isinstance(value, int):
        return value
    if value.endswith("%"):
        share = total * int(value[:-1]) / 100
        return math.ceil(share) if round_up else math.floor(share)
    return int(value)


def bounds(strategy: dict[str, Any], replicas: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. ``Recreate`` is (0, replicas)."""
    if strategy.get("type") == "Recreate":
        return 0, replicas
    rolling = strategy.get("rollingUpdate") or {}
    surge = int_or_percent(rolling.get("maxSurge", "25%"), replicas, round_up=True)
    unavailable = int_or_percent(rolling.get("maxUnavailable", "25%"), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def grow_new(new: Replicas, olds: Sequence[Replicas], replicas: int, max_surge: int) -> int:
    """How many replicas the new ReplicaSet should want now."""
    if new.spec >= replicas:
        return replicas
    total = new.spec + sum(old.spec for old in olds)
    room = replicas + max_surge - total
    return new.spec + max(0, min(room, replicas - new.spec))


def shrink_old(new: Replicas, olds: Sequence[Replicas], replicas: int, max_unavailable: int) -> dict[str, int]:
    """How many replicas each old ReplicaSet should want now: unhealthy pods go first, then as availability allows.

    Returns only the ReplicaSets that change.
    """
    wanted = {old.name: old.spec for old in olds}
    minimum = replicas - max_unavailable
    total = new.spec + sum(wanted.values())
    budget = total - minimum - (new.spec - new.available)
    if budget <= 0:
        return {}
    for old in olds:  # pods that serve nobody cost no availability
        unhealthy = min(max(old.spec - old.available, 0), budget)
        wanted[old.name] -= unhealthy
        budget -= unhealthy
    available = new.available + sum(old.available for old in olds)
    spare = max(0, min(available - minimum, budget))
    for old in olds:
        step = min(wanted[old.name], spare)
        wanted[old.name] -= step
        spare -= step
    return {old.name: wanted[old.name] for old in olds if wanted[old.name] != old.spec}


def scale_proportionally(sets: Sequence[Replicas], allowed: int) -> dict[str, int]:
    """Spread a changed total over the active ReplicaSets by their size (larger first, remainders to the first)."""
    total = sum(one.spec for one in sets)
    change = allowed - total
    if not total or not change:
        return {}
    result: dict[str, int] = {}
    left = change
    for one in sorted(sets, key=lambda item: (-item.spec, item.name)):
        share = round(one.spec * change / total)
        share = max(min(share, left), 0) if change > 0 else min(max(share, left), 0)
        result[one.name] = max(0, one.spec + share)
        left -= share
    if left:
        first = max(sets, key=lambda item: (item.spec, item.name)).name
        result[first] = max(0, result[first] + left)
    return result


def template_hash(template: dict[str, Any], collisions: int = 0) -> str:
    """A stable, label-safe hash of a pod template."""
    text = json.dumps(template, sort_keys=True) + f"#{collisions}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])
    digits = []
    for _ in range(10):
        number, digit = divmod(number, len(_HASH_ALPHABET))
        digits.append(_HASH_ALPHABET[digit])
    return "".join(digits)
