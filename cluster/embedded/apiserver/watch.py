"""Watches: from a query to a stream of JSON lines.

A watch starts from a snapshot of the store (when it wants initial events) or from a resourceVersion, and then
reads the store's log. Snapshot and resourceVersion are taken without yielding to the event loop, and the log
reaches back, so no change falls between them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import count, takewhile

import orjson

from cluster.embedded.apiserver.conversion import storage_of
from cluster.embedded.apiserver.negotiation import Presenter
from cluster.embedded.apiserver.refusals import bad_request, expired, invalid
from cluster.embedded.apiserver.schema import type_of
from cluster.embedded.apiserver.selectors import Predicate
from cluster.embedded.apiserver.status import failure
from cluster.embedded.client import ApiError
from cluster.embedded.resources import Object, Resource
from cluster.embedded.store import Change, Store, VersionGone

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
DEFAULT_TIMEOUT_SECONDS = 1800
BOOKMARK_PERIOD_SECONDS = 60.0
_BEFORE_END_SECONDS = (2.5, 1.5)
"""A real server tells a client twice, about 2 s before the end of its watch, from where to go on."""

Write = Callable[[bytes], Awaitable[None]]


def is_true(value: str | None) -> bool:
    """How the API reads a boolean parameter: anything but absent, ``0`` and ``false`` is true."""
    return value is not None and value.lower() not in ("0", "false")


def number(query: Mapping[str, str], key: str) -> int | None:
    """An integer parameter, None when absent. Raises ApiError 400."""
    value = query.get(key)
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The query of a watch.

    Attributes:
        after_version: follow changes after this resourceVersion; None or 0 means: begin with what exists.
        initial_events: send what exists, then a bookmark that marks the end of it (streaming list).
    """

    after_version: int | None
    initial_events: bool
    bookmarks: bool
    timeout_seconds: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> WatchOptions:
        """Raises ApiError 400, 422 or 500 for what a real server refuses."""
        initial = is_true(query.get("sendInitialEvents"))
        match = query.get("resourceVersionMatch", "")
        if initial and match != "NotOlderThan":
            problem = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise _invalid_list_options("resourceVersionMatch", problem)
        if match and "sendInitialEvents" not in query:
            problem = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            raise _invalid_list_options("resourceVersionMatch", problem)
        return cls(
            after_version=_version(query.get("resourceVersion", "")),
            initial_events=initial,
            bookmarks=is_true(query.get("allowWatchBookmarks")),
            timeout_seconds=number(query, "timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS,
        )


def _version(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise failure(500, "", message)
    return int(text)


def _invalid_list_options(field: str, problem: str) -> ApiError:
    return invalid("ListOptions", "meta.k8s.io", "", field, "FieldValueForbidden", problem)


class Watch:
    """One watch of one client.

    Args:
        namespace: None for all namespaces.
        selected: the predicate of the selectors.
        bookmark_period_seconds: how often an idle client that asked for bookmarks gets one.
    """

    def __init__(
        self,
        store: Store,
        resource: Resource,
        namespace: str | None,
        selected: Predicate,
        options: WatchOptions,
        presenter: Presenter,
        *,
        bookmark_period_seconds: float = BOOKMARK_PERIOD_SECONDS,
    ) -> None:
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._selected = selected
        self._options = options
        self._presenter = presenter
        self._period = bookmark_period_seconds
        self._version = 0
        self._events_sent = 0

    async def run(self, write: Write) -> None:
        """Write events until cancelled or until the log is lost, which the client is told with an ERROR event."""
        bookmarks = asyncio.create_task(self._bookmark(write)) if self._options.bookmarks else None
        try:
            async with aclosing(self._lines()) as lines:
                async for version, line in lines:
                    if line:
                        await write(line)
                    self._version = version
        finally:
            if bookmarks:
                bookmarks.cancel()

    async def _lines(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """(version the client is up to date with once it has the line, line or nothing)"""
        start = self._options.after_version
        if self._options.initial_events or not start:
            start = self._store.version
            for obj in self._store.list(storage_of(self._resource), self._namespace):
                if self._selected(obj):
                    yield 0, self._line("ADDED", obj)
            if self._options.initial_events and self._options.bookmarks:
                yield start, self._bookmark_line(start, initial_events_end=True)
        yield start, b""
        try:
            async with aclosing(self._store.watch(storage_of(self._resource), start)) as changes:
                async for change in changes:
                    kind = self._seen_as(change)
                    yield change.version, self._line(kind, _shown(kind, change)) if kind else b""
        except VersionGone as gone:
            yield start, encode_event("ERROR", expired(gone).status)

    def _seen_as(self, change: Change) -> str:
        """What a change is to this client: leaving its selection is DELETED, entering it ADDED."""
        was = change.previous is not None and self._in_view(change.previous)
        now = change.type != "DELETED" and self._in_view(change.object)
        return ("MODIFIED" if was else "ADDED") if now else "DELETED" if was else ""

    def _in_view(self, obj: Object) -> bool:
        in_namespace = self._namespace is None or obj["metadata"].get("namespace") == self._namespace
        return in_namespace and self._selected(obj)

    def _line(self, kind: str, obj: Object) -> bytes:
        first, self._events_sent = self._events_sent == 0, self._events_sent + 1
        return encode_event(kind, self._presenter.event(obj, first=first))

    async def _bookmark(self, write: Write) -> None:
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        with suppress(ConnectionError):
            for due_seconds in _bookmark_times(self._period, self._options):
                await asyncio.sleep(began + due_seconds - loop.time())
                if self._version:
                    await write(self._bookmark_line(self._version))

    def _bookmark_line(self, version: int, *, initial_events_end: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(version)}
        if initial_events_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        if self._presenter.form != "object":
            partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            return encode_event("BOOKMARK", partial)
        blank = {**type_of(self._resource).always, "kind": self._resource.kind}
        return encode_event("BOOKMARK", {**blank, "apiVersion": self._resource.api_version, "metadata": metadata})


def _bookmark_times(period_seconds: float, options: WatchOptions) -> Iterator[float]:
    """When a watch gets bookmarks, in seconds after its beginning, in order.

    One after the other, since a client may ask for a watch of a thousand years.
    """
    timeout_seconds = options.timeout_seconds
    times = (period_seconds * n for n in count(1))
    regular = takewhile(lambda seconds: seconds <= timeout_seconds, times)
    ends = [timeout_seconds - before for before in _BEFORE_END_SECONDS if timeout_seconds > before]
    return heapq.merge(regular, ends[-1:] if options.initial_events else ends)


def _shown(kind: str, change: Change) -> Object:
    """The object of an event: what leaves a selection is shown as it was when it was still in it."""
    if kind != "DELETED" or change.type == "DELETED" or change.previous is None:
        return change.object
    return {
        **change.previous,
        "metadata": {**change.previous["metadata"], "resourceVersion": change.object["metadata"]["resourceVersion"]},
    }


def encode_event(kind: str, obj: Object) -> bytes:
    """One line of a watch response."""
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"
