"""A plain HTTP client of the API, and an observer that sees every version of every object."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

OBSERVED = (
    "/api/v1/pods", "/api/v1/nodes", "/api/v1/services", "/api/v1/endpoints", "/api/v1/events", "/api/v1/namespaces",
    "/api/v1/configmaps", "/api/v1/secrets", "/api/v1/serviceaccounts", "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets", "/apis/batch/v1/jobs", "/apis/policy/v1/poddisruptionbudgets",
    "/apis/autoscaling/v2/horizontalpodautoscalers", "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/coordination.k8s.io/v1/leases",
)  # fmt: skip


_SWITCHED = 101
"""The connection speaks another protocol from here on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, list[str]]
    body: Any


@dataclass(slots=True)
class Http:
    """Requests with a token (or without), on one session.

    Attributes:
        age: makes the server forget its past; None where that cannot be done from here.
    """

    session: aiohttp.ClientSession
    server: str
    token: str
    agent: str = "Python/conformance"
    age: Callable[[], None] | None = None

    async def call(
        self,
        method: str,
        path: str,
        query: str = "",
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        """One request; ``body`` is sent as it is when it is text, else as JSON."""
        sent = {"User-Agent": self.agent, **(headers or {})}
        if self.token and not anonymous:
            sent["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            sent["Content-Type"] = content_type
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        async with self.session.request(method, self._url(path, query), data=data, headers=sent) as response:
            raw = b"" if response.status == _SWITCHED else await response.read()
        named: dict[str, list[str]] = defaultdict(list)
        for name, value in response.headers.items():
            named[name.title()].append(value)
        return Answer(response.status, dict(named), _parsed(raw))

    def stream(self, path: str, query: str, headers: dict[str, str]) -> Any:
        """A watch, as a response to be read line by line."""
        sent = {"User-Agent": self.agent, **headers}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        return self.session.get(self._url(path, query), headers=sent, timeout=aiohttp.ClientTimeout(total=None))

    def _url(self, path: str, query: str) -> URL:
        return URL(f"{self.server}{path}" + (f"?{query}" if query else ""), encoded=True)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")


@dataclass(slots=True)
class Observer:
    """Lists and watches everything, apart from the client that is replayed.

    Attributes:
        history: every version of an object, by (collection path, namespace, name), in order.
        events: every watch event: (seconds on the loop's clock, resource, type, object).
        moments: when each version in ``history`` was seen, and the type of its event.
    """

    http: Http
    history: dict[tuple[str, str, str], list[Any]] = field(default_factory=lambda: defaultdict(list))
    events: list[tuple[float, str, str, Any]] = field(default_factory=list)
    moments: dict[tuple[str, str, str], list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    pods: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for path in OBSERVED:
                group.create_task(self._watch(path))

    async def _watch(self, path: str) -> None:
        """Watch a collection, and go on from the last version when the server ends the watch."""
        version = ""
        while True:
            query = f"watch=true&allowWatchBookmarks=true&resourceVersion={version}" if version else "watch=true"
            async with self.http.stream(path, query, {"Accept": "application/json"}) as response:
                if response.status in (401, 403):
                    raise ConnectionError(f"the observer may not watch {path}: {response.status}")
                if response.status != 200:
                    return
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ConnectionError(f"the observer lost {path}: {event['object']}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._seen(path, event)

    def _seen(self, path: str, event: dict[str, Any]) -> None:
        obj, resource = event["object"], path.rsplit("/", 1)[1]
        metadata = obj["metadata"]
        key, now = (resource, metadata.get("namespace", ""), metadata["name"]), asyncio.get_running_loop().time()
        self.history[key].append(obj)
        self.moments[key].append((now, event["type"]))
        self.events.append((now, resource, event["type"], obj))
        if resource == "pods":
            self.pods.put_nowait(event)
        self.changed.set()
        self.changed.clear()

    def recent(self, key: tuple[str, str, str], seconds: float) -> list[Any]:
        """The versions of an object that were current at some moment of the last seconds."""
        since = asyncio.get_running_loop().time() - seconds
        began = [moment for moment, _ in self.moments.get(key, ())]
        ends = [*began[1:], float("inf")]
        return [obj for obj, end in zip(self.history.get(key, ()), ends, strict=False) if end >= since]

    def came_or_went(self, key: tuple[str, str, str], seconds: float) -> bool:
        """Whether an object was created or removed within the last seconds."""
        since = asyncio.get_running_loop().time() - seconds
        return any(moment >= since and kind != "MODIFIED" for moment, kind in self.moments.get(key, ()))

    async def quiet(self, calm_seconds: float = 0.4, deadline_seconds: float = 15.0) -> None:
        """Wait until nothing but heartbeats has changed for a while."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_seconds
        while loop.time() < end:
            last = next((t for t, resource, _, _ in reversed(self.events) if resource not in ("leases",)), 0.0)
            if (left := last + calm_seconds - loop.time()) <= 0:
                return
            await asyncio.sleep(left)
