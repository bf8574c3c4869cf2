"""How fast and how far a HorizontalPodAutoscaler may scale. Pure. Source: Kubernetes documentation, "Configurable
scaling behavior" of horizontal pod autoscaling.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.embedded.resources import Object

_DOWN_WINDOW_SECONDS = 300.0
_UP_DEFAULTS: Mapping[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN_DEFAULTS: Mapping[str, Any] = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_KEPT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition's reason and message."""

    reason: str
    message: str


READY = Verdict("ReadyForNewScale", "recommended size matches current size")
DOWN_STABILISED = Verdict(
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
UP_STABILISED = Verdict(
    "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"
)
WITHIN = Verdict("DesiredWithinRange", "the desired count is within the acceptable range")
TOO_FEW = Verdict("TooFewReplicas", "the desired replica count is less than the minimum replica count")
TOO_MANY = Verdict("TooManyReplicas", "the desired replica count is more than the maximum replica count")
UP_LIMIT = Verdict("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
DOWN_LIMIT = Verdict("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


@dataclass(slots=True)
class History:
    """What was recommended and done for one autoscaler, with the time of each."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    added: list[tuple[float, int]] = field(default_factory=list)
    removed: list[tuple[float, int]] = field(default_factory=list)

    def recommend(self, moment: float, replicas: int) -> None:
        """Remember a recommendation."""
        self.recommendations = [*_since(self.recommendations, moment - _KEPT_SECONDS), (moment, replicas)]

    def scaled(self, moment: float, before: int, after: int) -> None:
        """Remember a change of scale."""
        changes = self.added if after > before else self.removed
        changes[:] = [*_since(changes, moment - _KEPT_SECONDS), (moment, abs(after - before))]


def limit(spec: Object, history: History, current: int, desired: int, moment: float) -> tuple[int, Verdict, Verdict]:
    """What may be done of what is desired now: replicas, the verdict of AbleToScale, the verdict of ScalingLimited.

    Args:
        spec: of the autoscaler.
        history: remembers the recommendation.
        current: replicas now.
        desired: replicas that the metrics ask for.
        moment: now.
    """
    stable, able = _stabilise(spec, history, current, desired, moment)
    history.recommend(moment, desired)
    minimum, maximum = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
    most, least = _rates(spec, history, current, moment)
    if stable > min(maximum, most):
        return min(maximum, most), able, TOO_MANY if maximum <= most else UP_LIMIT
    if stable < max(minimum, least):
        return max(minimum, least), able, TOO_FEW if minimum >= least else DOWN_LIMIT
    return stable, able, WITHIN


def _stabilise(spec: Object, history: History, current: int, desired: int, moment: float) -> tuple[int, Verdict]:
    """The mildest recommendation of the window: none that scales further than all of them asked for."""
    up = _rules(spec, "scaleUp").get("stabilizationWindowSeconds", 0)
    down = _rules(spec, "scaleDown").get("stabilizationWindowSeconds", _DOWN_WINDOW_SECONDS)
    lowest = min([desired, *(n for _, n in _since(history.recommendations, moment - float(up)))])
    highest = max([desired, *(n for _, n in _since(history.recommendations, moment - float(down)))])
    # Without rules a spike that the rate held back is followed later, as by the first generation of the controller.
    stable = min(max(current, lowest), highest) if spec.get("behavior") else highest
    if stable == desired:
        return stable, READY
    return stable, UP_STABILISED if desired > stable else DOWN_STABILISED


def _rates(spec: Object, history: History, current: int, moment: float) -> tuple[int, int]:
    """The most and the fewest replicas that the policies allow now."""
    if not spec.get("behavior"):
        return max(2 * current, 4), 0
    up, down = _rules(spec, "scaleUp"), _rules(spec, "scaleDown")
    most = _selected(up, [_grown(policy, history, current, moment) for policy in up["policies"]], max, current)
    least = _selected(down, [_shrunk(policy, history, current, moment) for policy in down["policies"]], min, current)
    return max(most, current), min(least, current)


def _selected(rules: Mapping[str, Any], results: list[int], most: Any, current: int) -> int:
    """The policy that counts: ``Max`` means the one that changes most."""
    if rules["selectPolicy"] == "Disabled":
        return current
    least = min if most is max else max
    return int((most if rules["selectPolicy"] == "Max" else least)(results))


def _grown(policy: Object, history: History, current: int, moment: float) -> int:
    start = _start(policy, history, current, moment)
    if policy["type"] == "Pods":
        return start + int(policy["value"])
    return math.ceil(round(start * (1 + int(policy["value"]) / 100), 9))


def _shrunk(policy: Object, history: History, current: int, moment: float) -> int:
    start = _start(policy, history, current, moment)
    if policy["type"] == "Pods":
        return start - int(policy["value"])
    return int(round(start * (1 - int(policy["value"]) / 100), 9))


def _start(policy: Object, history: History, current: int, moment: float) -> int:
    """The replicas at the beginning of the policy's period."""
    since = moment - float(policy["periodSeconds"])
    return current - _sum(history.added, since) + _sum(history.removed, since)


def _rules(spec: Object, direction: str) -> Mapping[str, Any]:
    """The scaling rules of one direction, defaults filled in."""
    defaults = _UP_DEFAULTS if direction == "scaleUp" else _DOWN_DEFAULTS
    given = (spec.get("behavior") or {}).get(direction) or {}
    return {**defaults, **{key: value for key, value in given.items() if value is not None and value != []}}


def _since(entries: Iterable[tuple[float, int]], moment: float) -> list[tuple[float, int]]:
    return [entry for entry in entries if entry[0] > moment]


def _sum(entries: Iterable[tuple[float, int]], moment: float) -> int:
    return sum(amount for _, amount in _since(entries, moment))
