"""How many replicas a HorizontalPodAutoscaler wants. Pure.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling" (algorithm details, default behavior).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import Object

TOLERANCE_RATIO = 0.1
_DOWN_WINDOW_SECONDS = 300


class NoMetrics(Exception):
    """The metrics that a target needs cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A number of replicas and the metric that asked for it.

    Attributes:
        current: the metric's status (``value`` is a ratio in percent for utilisation, or a quantity).
    """

    replicas: int
    metric: str
    current: dict[str, Any]


def propose(
    metric: Object, pods: Sequence[Object], usage: Mapping[str, Mapping[str, float]], replicas: int
) -> Proposal:
    """What one Resource metric asks for.

    Args:
        metric: an entry of ``spec.metrics``.
        pods: the ready pods of the target.
        usage: cores or bytes used by each pod, by pod name and resource name.
        replicas: the present number.

    Raises:
        NoMetrics: no pod has the metric, or a container states no request for it.
    """
    resource = metric["resource"]
    name, target = resource["name"], resource["target"]
    measured = [pod for pod in pods if name in usage.get(pod["metadata"]["name"], {})]
    if not measured:
        raise NoMetrics("no metrics returned from resource metrics API")
    used = sum(usage[pod["metadata"]["name"]][name] for pod in measured)
    if target["type"] == "Utilization":
        requested = sum(_request(pod, name) for pod in measured)
        percent = round(100 * used / requested) if requested else 0
        wanted = _scaled(percent / target["averageUtilization"], len(measured), replicas)
        average = {"averageUtilization": percent, "averageValue": _quantity(name, used / len(measured))}
    else:
        wanted_each = float(parse_quantity(target["averageValue"]))
        wanted = _scaled(used / len(measured) / wanted_each, len(measured), replicas)
        average = {"averageValue": _quantity(name, used / len(measured))}
    current = {"type": "Resource", "resource": {"name": name, "current": average}}
    return Proposal(wanted, _described(name, target["type"]), current)


def _request(pod: Object, name: str) -> float:
    total = 0.0
    for container in pod["spec"]["containers"]:
        request = (container.get("resources") or {}).get("requests", {}).get(name)
        if request is None:
            where = f"container {container['name']} of Pod {pod['metadata']['name']}"
            raise NoMetrics(f"missing request for {name} in {where}")
        total += float(parse_quantity(request))
    return total


def _scaled(ratio: float, measured: int, replicas: int) -> int:
    """``ceil(ratio * pods)``, unless the ratio is within the tolerance."""
    if abs(ratio - 1.0) <= TOLERANCE_RATIO:
        return replicas
    return math.ceil(ratio * measured - 1e-9)


def _described(name: str, target_type: str) -> str:
    return (
        f"{name} resource utilization (percentage of request)" if target_type == "Utilization" else f"{name} resource"
    )


def _quantity(name: str, value: float) -> str:
    return f"{round(value * 1000)}m" if name == "cpu" else str(round(value))


def bounded(wanted: int, spec: Mapping[str, Any]) -> tuple[int, str, str]:
    """Replicas within minimum and maximum, with reason and message of the condition ScalingLimited."""
    low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
    if wanted > high:
        return high, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
    if wanted < low:
        return low, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
    return wanted, "DesiredWithinRange", "the desired count is within the acceptable range"


def stabilised(wanted: int, replicas: int, history: Sequence[tuple[float, int]], now: float, spec: Object) -> int:
    """The wanted count, not below what was wanted within the scale-down window, nor above it for scale-up.

    Args:
        history: (seconds on a monotonic clock, wanted count) of earlier decisions.
        now: seconds on the same clock.
    """
    behavior = spec.get("behavior") or {}
    down = (behavior.get("scaleDown") or {}).get("stabilizationWindowSeconds", _DOWN_WINDOW_SECONDS)
    up = (behavior.get("scaleUp") or {}).get("stabilizationWindowSeconds", 0)
    if wanted < replicas:
        return min(replicas, max([wanted, *(count for at, count in history if now - at <= down)]))
    if wanted > replicas:
        wanted = max(replicas, min([wanted, *(count for at, count in history if now - at <= up)]))
        return min(wanted, max(2 * replicas, 4) if not behavior.get("scaleUp") else wanted)
    return wanted
