"""Writes Events the way client-go's recorders do: repeated ones are counted, floods are combined, then dropped.

Two styles exist in a real cluster. Controllers and the kubelet count (`EventRecorder`); the scheduler writes
through ``events.k8s.io`` and starts a series (`SeriesRecorder`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.meta import now, now_micro, object_reference
from cluster.embedded.resources import EVENTS, EVENTS_V1, Object, Resource

log = logging.getLogger(__name__)

# The limits of client-go's EventCorrelator (tools/record/events_cache.go in its documentation).
_REMEMBERED = 4096
_DISTINCT_MESSAGES = 10
_SIMILAR_WINDOW_SECONDS = 600.0
_BURST = 25
_REFILL_SECONDS = 300.0
_SERIES_WINDOW_SECONDS = 360.0

V = TypeVar("V")


class _Recent(Generic[V]):
    """A dictionary that forgets what was used longest ago."""

    def __init__(self) -> None:
        self._items: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: Hashable, value: V) -> V:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > _REMEMBERED:
            self._items.popitem(last=False)
        return value

    def drop(self, key: Hashable) -> None:
        self._items.pop(key, None)


@dataclass(slots=True)
class _Similar:
    """The messages seen for one object and reason."""

    messages: dict[str, None] = field(default_factory=dict)
    last: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


@dataclass(slots=True)
class _Written:
    """An event that exists: where, and how often it happened."""

    name: str
    count: int
    last: float


class _Writer:
    """Writes in order, in the background, and only while there is something to write."""

    def __init__(self, client: ApiClient, resource: Resource = EVENTS) -> None:
        self._client = client
        self._resource = resource
        self._waiting: deque[tuple[Object, Any]] = deque()
        self._task: asyncio.Task[None] | None = None

    def write(self, event: Object, patch: Any = None) -> None:
        """Create the event, or patch the one of its name (created again if it is gone)."""
        self._waiting.append((event, patch))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def flush(self) -> None:
        """Wait until everything is written."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            event, patch = self._waiting.popleft()
            try:
                await self._put(event, patch)
            except ApiError as error:
                log.debug("event %s was not written: %s", event["metadata"]["name"], error)

    async def _put(self, event: Object, patch: Any) -> None:
        metadata = event["metadata"]
        if patch is not None:
            try:
                await self._client.patch(self._resource, metadata["name"], patch, metadata["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                return
        await self._client.create(self._resource, event)


class EventRecorder:
    """Records core/v1 Events as controllers and the kubelet do: same object, reason and message is counted.

    Args:
        client: where to write.
        component: such as ``deployment-controller``.
        host: the node, for components that run on one.
    """

    def __init__(self, client: ApiClient, component: str, host: str = "") -> None:
        self._writer = _Writer(client)
        self._component, self._host = component, host
        self._similar: _Recent[_Similar] = _Recent()
        self._written: _Recent[_Written] = _Recent()
        self._buckets: _Recent[_Bucket] = _Recent()

    def event(self, involved_obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record an event; returns at once, it is written in the background and in order.

        Args:
            involved_obj: an object with apiVersion, kind and metadata, or an ObjectReference.
            type: ``Normal`` or ``Warning``.
            reason: such as ``ScalingReplicaSet``.
            message: text for people.
            field_path: part of the object, such as ``spec.containers{app}``.
        """
        reference = object_reference(involved_obj)
        if field_path:
            reference["fieldPath"] = field_path
        identity = tuple(reference.get(k) for k in ("kind", "namespace", "name", "fieldPath", "uid", "apiVersion"))
        combined = self._floods((identity, type, reason), message)
        if not self._allowed((identity, type)):
            return
        if combined:
            message = f"(combined from similar events): {message}"
        key = (identity, type, reason, "" if combined else message)
        self._write(key, self._new(reference, type, reason, message, "" if combined else self._component))

    def forget(self) -> None:
        """Count anew, as a component does that was started again."""
        self._similar, self._written, self._buckets = _Recent(), _Recent(), _Recent()

    async def flush(self) -> None:
        """Wait until everything that was recorded is written."""
        await self._writer.flush()

    def _floods(self, key: Hashable, message: str) -> bool:
        """Whether the object had so many different messages for this reason that they are combined."""
        instant = time.monotonic()
        similar = self._similar.get(key)
        if similar is None or instant - similar.last > _SIMILAR_WINDOW_SECONDS:
            similar = self._similar.put(key, _Similar())
        similar.last = instant
        similar.messages[message] = None
        if len(similar.messages) < _DISTINCT_MESSAGES:
            return False
        del similar.messages[next(iter(similar.messages))]
        return True

    def _allowed(self, key: Hashable) -> bool:
        """A token bucket for each object and type of event."""
        instant = time.monotonic()
        bucket = self._buckets.get(key) or self._buckets.put(key, _Bucket(_BURST, instant))
        bucket.tokens = min(_BURST, bucket.tokens + (instant - bucket.filled) / _REFILL_SECONDS)
        bucket.filled = instant
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _write(self, key: Hashable, event: Object) -> None:
        known = self._written.get(key)
        if known is None:
            self._written.put(key, _Written(event["metadata"]["name"], 1, time.monotonic()))
            self._writer.write(event)
            return
        known.count += 1
        event["metadata"]["name"], event["count"] = known.name, known.count
        self._writer.write(event, {k: event[k] for k in ("count", "lastTimestamp", "message")})

    def _new(self, reference: Object, type: str, reason: str, message: str, reporting: str) -> Object:
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        return {
            **_skeleton(reference, type, reason, message),
            "count": 1,
            "eventTime": None,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "reportingComponent": reporting,
            "reportingInstance": self._host if reporting else "",
            "source": source,
        }


class SeriesRecorder:
    """Records Events as the scheduler does, through ``events.k8s.io``: eventTime, action, no count, no source.

    Args:
        client: where to write.
        component: such as ``default-scheduler``.
        host: the instance is named COMPONENT-HOST.
    """

    def __init__(self, client: ApiClient, component: str, host: str) -> None:
        self._writer = _Writer(client, EVENTS_V1)
        self._component, self._instance = component, f"{component}-{host}"
        self._written: _Recent[_Written] = _Recent()

    def event(self, involved_obj: Object, type: str, reason: str, message: str, *, action: str) -> None:
        """Record an event; a repetition about the same version of the object starts a series."""
        reference = object_reference(involved_obj)
        event = self._new(reference, type, reason, message, action)
        key = (tuple(sorted(reference.items())), type, reason, action)
        instant = time.monotonic()
        known = self._written.get(key)
        if known is None or instant - known.last > _SERIES_WINDOW_SECONDS:
            self._written.put(key, _Written(event["metadata"]["name"], 1, instant))
            self._writer.write(event)
            return
        known.count, known.last = known.count + 1, instant
        if known.count == 2:  # as client-go: later repetitions are only counted in memory
            event["metadata"]["name"] = known.name
            event["series"] = {"count": 2, "lastObservedTime": now_micro()}
            self._writer.write(event, {"series": event["series"]})

    async def flush(self) -> None:
        """Wait until everything that was recorded is written."""
        await self._writer.flush()

    def _new(self, reference: Object, type: str, reason: str, message: str, action: str) -> Object:
        return {
            **_identity(EVENTS_V1, reference),
            "regarding": reference,
            "type": type,
            "reason": reason,
            "note": message,
            "action": action,
            "eventTime": now_micro(),
            "reportingController": self._component,
            "reportingInstance": self._instance,
        }


def _skeleton(reference: Object, type: str, reason: str, message: str) -> Object:
    return {
        **_identity(EVENTS, reference),
        "involvedObject": reference,
        "type": type,
        "reason": reason,
        "message": message,
    }


def _identity(resource: Resource, reference: Object) -> Object:
    name, namespace = f"{reference['name']}.{time.time_ns():x}", reference.get("namespace") or "default"
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace},
    }
