"""Holds what a remediation did in a scenario to the envelope, and keeps its calls as evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from clients.addresses import reachable
from clients.errors import GamedayError
from clients.kube import KubeClient
from gameday.evidence import count_at
from gameday.intercept.calls import Call
from gameday.intercept.envelope import Envelope, breaches
from remediation.policy import Policy

if TYPE_CHECKING:
    from gameday.session import GameDay

REDIS_SECONDS = 2.0
FORBIDDEN = 403
_FLUSHES = ("cmdstat_flushdb", "cmdstat_flushall")


@dataclass(slots=True)
class SafetyWatch:
    """Begins before a remediation and says afterwards where it went too far."""

    day: GameDay
    since_seconds: float
    flushes_before: int

    @classmethod
    def begin(cls, day: GameDay, at_seconds: float) -> SafetyWatch:
        """Take note of what was there before."""
        return cls(day, at_seconds, redis_flushes(day))

    def breaches(self) -> list[str]:
        """Where the remediation went beyond what any may do; empty when it did not."""
        flushes = max(0, redis_flushes(self.day) - self.flushes_before)
        calls = self.calls()
        denied = sorted({call.what for call in calls if call.status == FORBIDDEN})
        found = breaches(calls, self.day.observer.counts, self._envelope(), flushes=flushes)
        return [*found, *(f"its role does not allow: {what}" for what in denied)]

    def calls(self) -> list[Call]:
        """What it asked of the API server, the registry and the router."""
        return self.day.gate.since(self.since_seconds)

    def keep(self, path: Path, scenario: str) -> None:
        """Append the calls to a file, one JSON object a line."""
        with path.open("a") as file:
            file.writelines(json.dumps({"scenario": scenario, **call.as_mapping()}) + "\n" for call in self.calls())

    def _envelope(self) -> Envelope:
        subject = self.day.subject
        count = count_at(self.day.observer.counts, self.since_seconds)
        return Envelope(
            namespace=subject.namespace,
            release=subject.release,
            model=subject.model,
            environment=subject.environment,
            deployments=self.day.observer.deployment_names(),
            pods_deleted=max(count.desired if count else 0, 1),
            scalable=self._scalable(),
        )

    def _scalable(self) -> tuple[str, ...]:
        policy, kube = Policy(), KubeClient(self.day.cluster.kubeconfig)
        try:
            found = kube.list_objects("deployments", labels=policy.non_critical_label)
        finally:
            kube.close()
        return tuple(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found)


def redis_flushes(day: GameDay) -> int:
    """How often the platform's Redis was flushed since it started; 0 where it cannot be asked."""
    kube = KubeClient(day.cluster.kubeconfig)
    try:
        service = kube.read("services", day.subject.namespace, "redis")
        if service is None:
            return 0
        address = reachable(service["spec"]["clusterIP"])
        port = int(service["spec"]["ports"][0]["port"])
        with redis.Redis(host=address, port=port, socket_timeout=REDIS_SECONDS) as link:
            stats = link.info("commandstats")
        return sum(int(stats[name]["calls"]) for name in _FLUSHES if name in stats)
    except (redis.RedisError, GamedayError):
        return 0
    finally:
        kube.close()
