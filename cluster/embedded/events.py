"""Records Events as the components of a real cluster do: repeats are counted, not repeated."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any, Literal

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.resources import EVENTS, Object

log = logging.getLogger(__name__)
EventType = Literal["Normal", "Warning"]


class EventRecorder:
    """Writes core/v1 Events on behalf of one component.

    Args:
        component: such as ``deployment-controller`` or ``kubelet``.
        host: the node of the component, if it has one.
    """

    def __init__(self, client: ApiClient, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._seen: dict[tuple[str, ...], tuple[str, int]] = {}
        self._waiting: deque[tuple[Object, str, str, str]] = deque()
        self._writer: asyncio.Task[None] | None = None

    def event(self, obj: Object, event_type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record an event about an object, in order, without waiting for it to be written.

        The same event again raises the count of the first.
        """
        self._waiting.append((_reference(obj, field_path), event_type, reason, message))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        while self._waiting:
            await self._record(*self._waiting.popleft())

    async def _record(self, reference: Object, kind: str, reason: str, message: str) -> None:
        """Write one event. A namespace that is on its way out takes none; events are never worth a failure."""
        namespace = reference.get("namespace") or "default"
        key = (reference.get("uid", ""), reference.get("fieldPath", ""), kind, reason, message)
        try:
            if key in self._seen and await self._count(key, namespace):
                return
            name = f"{reference['name']}.{uuid.uuid4().hex[:16]}"
            await self._client.create(EVENTS, self._new(name, namespace, reference, kind, reason, message))
            self._remember(key, name, 1)
        except ApiError as error:
            if error.code not in (403, 404):
                log.warning("event %s about %s was not written: %s", reason, reference["name"], error)

    async def _count(self, key: tuple[str, ...], namespace: str) -> bool:
        name, count = self._seen[key]
        try:
            await self._client.patch(EVENTS, name, {"count": count + 1, "lastTimestamp": _seconds()}, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        self._remember(key, name, count + 1)
        return True

    def _remember(self, key: tuple[str, ...], name: str, count: int) -> None:
        self._seen.pop(key, None)
        self._seen[key] = (name, count)
        if len(self._seen) > 4096:  # as client-go's correlator, old events are forgotten
            del self._seen[next(iter(self._seen))]

    def _new(self, name: str, namespace: str, reference: Object, kind: str, reason: str, message: str) -> Object:
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        moment = _seconds()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def scheduler_event(pod: Object, kind: EventType, reason: str, message: str, action: str) -> Object:
    """An event as the scheduler writes it (events.k8s.io style): eventTime is set, count and source are not."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{pod['metadata']['name']}.{uuid.uuid4().hex[:16]}",
            "namespace": pod["metadata"]["namespace"],
        },
        "involvedObject": _reference(pod, ""),
        "reason": reason,
        "message": message,
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "type": kind,
        "action": action,
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingComponent": "default-scheduler",
        "reportingInstance": "default-scheduler-embedded",
    }


def _reference(obj: Object, field_path: str) -> dict[str, Any]:
    metadata = obj["metadata"]
    reference = {
        "kind": obj.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}


def _seconds() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
