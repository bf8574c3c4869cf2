"""When what lies behind a Service changed, for the annotation ``endpoints.kubernetes.io/last-change-trigger-time``.

Consumers measure with it how long the network takes to follow. A change without a new time, such as the end of a pod,
has none: then the annotation is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.embedded.informer import Key
from cluster.embedded.meta import condition_of, key_of
from cluster.embedded.resources import Object


@dataclass(slots=True)
class _Seen:
    service: str = ""
    pods: dict[Key, str] = field(default_factory=dict)


class TriggerTimes:
    """Remembers the times that were seen of each Service and its pods."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}

    def triggered_at(self, service: Object, pods: Iterable[Object]) -> str | None:
        """The earliest time that is new since the last call for this Service; None if there is none.

        Args:
            service: counts with its creation.
            pods: all that it selects; they count with the last change of their readiness.
        """
        key = key_of(service)
        before, created = self._seen.get(key, _Seen()), str(service["metadata"]["creationTimestamp"])
        times = {
            key_of(pod): str(time)
            for pod in pods
            if (time := (condition_of(pod, "Ready") or {}).get("lastTransitionTime"))
        }
        fresh = [time for pod, time in times.items() if time > before.pods.get(pod, "")]
        fresh += [created] if created > before.service else []
        self._seen[key] = _Seen(created, times)
        return min(fresh, default=None)

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)
