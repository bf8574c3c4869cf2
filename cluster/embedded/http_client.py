"""The API over HTTPS: the same calls as in the process, against any API server.

Paths, content types and queries: Kubernetes API Concepts (kubernetes.io/docs/reference/using-api/api-concepts).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from cluster.embedded.client import ApiError, ObjectList, PatchType, Propagation, WatchEvent
from cluster.embedded.kubeconfig import Credentials
from cluster.embedded.resources import Object, Resource

REQUEST_SECONDS = 60.0
"""A server gives up after as long (--request-timeout)."""
CONNECT_SECONDS = 10.0
_WATCH_SECONDS = (300, 600)
"""Between these a watch ends by itself; client-go spreads them likewise, so that not all come back at once."""
_WATCH_MARGIN_SECONDS = 30.0
_MOST_TRIES = 5
_LONGEST_WAIT_SECONDS = 10.0
_PATCH_TYPES: Mapping[PatchType, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_POSTED_KINDS = {
    "binding": ("v1", "Binding"),
    "eviction": ("policy/v1", "Eviction"),
    "token": ("authentication.k8s.io/v1", "TokenRequest"),
}


class HttpClient:
    """An `ApiClient` on a server; use it as an asynchronous context manager, which closes its connections.

    A server that cannot be reached is an ApiError 503, one that does not answer in time 504, so that components treat
    both like a server that says so itself: they try again.

    Args:
        credentials: which server, and who asks.
        manager: the field manager that its writes are recorded under in managedFields.
        request_seconds: how long a request that is not a watch may take.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        manager: str = "kube-controller-manager",
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._credentials = credentials
        self._manager = manager
        self._request_seconds = request_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpClient:
        headers = {"Accept": "application/json", "User-Agent": f"vllm-gameday/{self._manager}"}
        if self._credentials.token:
            headers["Authorization"] = f"Bearer {self._credentials.token}"
        tls = self._credentials.ssl_context()
        self._session = aiohttp.ClientSession(
            headers=headers,
            # Every watch holds a connection: a limit would keep requests waiting behind watches.
            connector=aiohttp.TCPConnector(limit=0, ssl=tls if tls is not None else True),
            timeout=aiohttp.ClientTimeout(total=self._request_seconds, sock_connect=CONNECT_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return await self.request("GET", path_of(resource, namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> ObjectList:
        listed = await self.request("GET", path_of(resource, namespace), query=_selection(labels, fields))
        items: list[Object] = listed.get("items") or []
        for item in items:  # a list says the kind once, for all of them
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        return ObjectList(items, str(listed["metadata"]["resourceVersion"]))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        path, query = path_of(resource, namespace), _selection(labels, fields)
        while True:  # a server ends a watch after its time; it goes on from what was seen last
            async with contextlib.aclosing(self._watch_once(path, query, resource_version)) as events:
                async for event in events:
                    resource_version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        yield event

    async def create(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        metadata = obj.get("metadata") or {}
        name = str(metadata.get("name") or "") if subresource else ""
        api_version, kind = _POSTED_KINDS.get(subresource, (resource.api_version, resource.kind))
        body = {"apiVersion": api_version, "kind": kind, **obj}
        path = path_of(resource, metadata.get("namespace") or "", name, subresource)
        return await self.request("POST", path, body=body, query=self._managed())

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        metadata = obj["metadata"]
        path = path_of(resource, metadata.get("namespace") or "", metadata["name"], subresource)
        kind = {} if subresource == "scale" else {"apiVersion": resource.api_version, "kind": resource.kind}
        return await self.request("PUT", path, body={**kind, **obj}, query=self._managed())

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        query = self._managed()
        if patch_type == "apply":
            query["force"] = "true"
        path = path_of(resource, namespace, name, subresource)
        return await self.request("PATCH", path, body=patch, query=query, content_type=_PATCH_TYPES[patch_type])

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation: Propagation | None = None,
        uid: str = "",
    ) -> Object:
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self.request("DELETE", path_of(resource, namespace, name), body=options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request, and its answer as JSON; again while the server is too busy. Raises ApiError."""
        data = None if body is None else orjson.dumps(body)
        answer: Object = orjson.loads(await self._send(method, path, data, query, content_type))
        return answer

    async def text(self, path: str) -> str:
        """What the server says at a path that is no resource, such as ``/readyz``. Raises ApiError."""
        return (await self._send("GET", path)).decode()

    async def _send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "",
    ) -> bytes:
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                async with self._open.request(
                    method,
                    self._credentials.server + path,
                    params=query,
                    data=data,
                    headers=None if data is None else {"Content-Type": content_type},
                ) as response:
                    content = await response.read()
                    if response.status < 400:
                        return content
                    error, again_after = _error(response.status, content), response.headers.get("Retry-After", "")
            except (aiohttp.ClientError, OSError, TimeoutError) as failed:
                raise _unreachable(failed) from failed
            # An eviction that a budget forbids is refused with 429, too: that is an answer, not a busy server.
            if error.code != 429 or not again_after.isdecimal() or path.endswith("/eviction") or attempt == _MOST_TRIES:
                raise error
            await asyncio.sleep(min(float(again_after), _LONGEST_WAIT_SECONDS))
        raise AssertionError("unreachable")

    async def _watch_once(
        self, path: str, query: Mapping[str, str], resource_version: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """The events of one watch request, bookmarks too. Raises ApiError."""
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311 - spreads load
        wanted = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=seconds + _WATCH_MARGIN_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            async with self._open.get(self._credentials.server + path, params=wanted, timeout=timeout) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read())
                async for line in _lines(response.content):
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"])
                    yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, OSError, TimeoutError) as failed:
            raise _unreachable(failed) from failed

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use the client as a context manager"
        return self._session

    def _managed(self) -> dict[str, str]:
        return {"fieldManager": self._manager}


def path_of(resource: Resource, namespace: str | None, name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or a subresource."""
    parts = ["apis", resource.group] if resource.group else ["api"]
    parts.append(resource.version)
    if namespace and resource.namespaced:
        parts += ["namespaces", namespace]
    parts += [part for part in (resource.plural, name, subresource) if part]
    return "/" + "/".join(parts)


def _selection(labels: str, fields: str) -> dict[str, str]:
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in given.items() if value}


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: one event is one line, and an object may have megabytes."""
    rest = bytearray()
    async for chunk in stream.iter_any():
        rest += chunk
        *complete, last = rest.split(b"\n") if b"\n" in chunk else (rest,)
        for line in complete:
            if line:
                yield bytes(line)
        rest = bytearray(last)


def _error(code: int, content: bytes) -> ApiError:
    """The Status in an answer, or one made of what there is: proxies and health checks answer with text."""
    with contextlib.suppress(orjson.JSONDecodeError):
        status = orjson.loads(content)
        if isinstance(status, dict) and status.get("kind") == "Status":
            return ApiError({**status, "code": status.get("code") or code})
    return ApiError(_failure(code, "Unknown", content.decode(errors="replace").strip()[:500] or f"HTTP {code}"))


def _unreachable(error: Exception) -> ApiError:
    if isinstance(error, TimeoutError):
        return ApiError(_failure(504, "Timeout", "the API server did not answer in time"))
    return ApiError(_failure(503, "ServiceUnavailable", f"the API server cannot be reached: {error}"))


def _failure(code: int, reason: str, message: str) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
