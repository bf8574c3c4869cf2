"""How many replicas a metric asks for. Pure. Source: Kubernetes documentation, "Horizontal Pod Autoscaling".

The ratio of current to desired usage times the pods that were measured, rounded up; within a tolerance of 10 %
nothing changes. Pods that are not ready or lack metrics are assumed such that they dampen the change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cluster.embedded.controllers.hpa_metrics import MetricsError, Usage
from cluster.embedded.controllers.pods import phase_of
from cluster.embedded.meta import condition_of, is_deleted
from cluster.embedded.resources import Object

TOLERANCE = 0.1
_CPU_INITIALISATION = timedelta(minutes=5)
_READINESS_DELAY = timedelta(seconds=30)


@dataclass(slots=True)
class Groups:
    """Pods by how far they can be judged, as their names."""

    ready: int = 0
    unready: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Current over desired usage.

    Attributes:
        value: 1.0 when the target is met.
        milli_per_pod: average usage, in thousandths.
        percent: average usage as a share of the requests, if the target is such a share.
    """

    value: float
    milli_per_pod: int
    percent: int | None = None

    @property
    def tolerated(self) -> bool:
        """Whether it is so near to the target that nothing is to be done."""
        return abs(1.0 - self.value) <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric aims at: a share of the requests, or an average value."""

    percent: int | None = None
    milli: int | None = None

    def ratio(self, usages: Mapping[str, Usage], requests: Mapping[str, int]) -> Ratio:
        """How usage compares to the target. Raises MetricsError."""
        if self.milli is not None:
            average = sum(usage.milli for usage in usages.values()) // len(usages)
            return Ratio(average / self.milli, average)
        known = {name: usage for name, usage in usages.items() if name in requests}
        requested = sum(requests[name] for name in known)
        if not requested:
            raise MetricsError("no metrics returned matched known pods")
        used = sum(usage.milli for usage in known.values())
        percent = used * 100 // requested
        return Ratio(percent / float(self.percent or 1), used // len(known), percent)

    def assumed_when_low(self, name: str, requests: Mapping[str, int]) -> int:
        """What a pod without metrics is taken to use when there may be too many pods."""
        if self.milli is not None:
            return self.milli
        return requests[name] * max(100, self.percent or 0) // 100


def group(pods: Iterable[Object], usages: Mapping[str, Usage], resource: str, moment: datetime) -> Groups:
    """Sort pods by whether their usage means anything yet."""
    groups = Groups()
    for pod in pods:
        name = pod["metadata"]["name"]
        if is_deleted(pod) or phase_of(pod) == "Failed":
            groups.ignored.append(name)
        elif phase_of(pod) == "Pending":
            groups.unready.append(name)
        elif name not in usages:
            groups.missing.append(name)
        elif resource == "cpu" and _still_starting(pod, usages[name], moment):
            groups.unready.append(name)
        else:
            groups.ready += 1
    return groups


def _still_starting(pod: Object, usage: Usage, moment: datetime) -> bool:
    """Whether CPU usage is that of a start: the pod is not ready, or was not for the whole window."""
    started, ready = (pod.get("status") or {}).get("startTime"), condition_of(pod, "Ready")
    if ready is None or not started:
        return True
    begin = datetime.fromisoformat(started)
    changed = datetime.fromisoformat(ready.get("lastTransitionTime") or started)
    if begin + _CPU_INITIALISATION > moment:
        measured = datetime.fromisoformat(usage.timestamp) if usage.timestamp else datetime.min.replace(tzinfo=UTC)
        return ready["status"] == "False" or measured < changed + timedelta(seconds=usage.window_seconds)
    return ready["status"] == "False" and begin + _READINESS_DELAY > changed


def replicas_for(
    target: Target,
    current: int,
    usages: Mapping[str, Usage],
    groups: Groups,
    requests: Callable[[], Mapping[str, int]],
) -> tuple[int, Ratio]:
    """The number of replicas that brings usage to the target, and the ratio that was seen.

    Args:
        target: what is aimed at.
        current: replicas now.
        usages: by pod name.
        groups: of the same pods.
        requests: gives the requests by pod name; asked only when there is something to judge.

    Raises:
        MetricsError: no pod can be judged.
    """
    judged = {name: usage for name, usage in usages.items() if name not in (*groups.ignored, *groups.unready)}
    if not judged:
        raise MetricsError("did not receive metrics for targeted pods (pods might be unready)")
    requested = requests() if target.milli is None else {}
    seen = target.ratio(judged, requested)
    rising = seen.value > 1.0
    if not groups.missing and not (groups.unready and rising):
        return (current if seen.tolerated else _up(seen.value * groups.ready)), seen
    for name in groups.missing:
        if seen.value < 1.0:
            judged[name] = Usage(target.assumed_when_low(name, requested))
        elif rising:
            judged[name] = Usage(0)
    if rising:
        judged.update({name: Usage(0) for name in groups.unready})
    return _damped(current, seen, target.ratio(judged, requested), len(judged)), seen


def _damped(current: int, seen: Ratio, assumed: Ratio, pods: int) -> int:
    """The replicas by the dampened ratio, unless that turns the direction."""
    if assumed.tolerated or (seen.value < 1.0) != (assumed.value < 1.0):
        return current
    wanted = _up(assumed.value * pods)
    if (assumed.value < 1.0 and wanted > current) or (assumed.value > 1.0 and wanted < current):
        return current
    return wanted


def _up(value: float) -> int:
    return math.ceil(round(value, 9))
