"""Watches: where they start, what a selector makes of changes, how they end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cluster.embedded.apiserver.negotiation import Presenter
from cluster.embedded.apiserver.selectors import label_selector
from cluster.embedded.apiserver.watch import Watch, WatchOptions, _bookmark_times
from cluster.embedded.client import ApiError
from cluster.embedded.resources import CONFIG_MAPS, Object
from cluster.embedded.store import Store
from tests.cluster.apiserver.conftest import Http

URL = "/api/v1/namespaces/system/configmaps"


def config_map(name: str, namespace: str = "system", **labels: str) -> Object:
    return {"kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": labels}}


class Client:
    """Collects the lines of a watch and can be slow to take them."""

    def __init__(self, store: Store, query: dict[str, str], *, labels: str = "", period: float = 30.0) -> None:
        self.events: list[tuple[str, Any]] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        options, selected = WatchOptions.of(query), label_selector(labels)
        watch = Watch(
            store, CONFIG_MAPS, "system", selected, options, Presenter(CONFIG_MAPS), bookmark_period_seconds=period
        )
        self.task = asyncio.create_task(watch.run(self._write))

    async def _write(self, line: bytes) -> None:
        await self.may_read.wait()
        event = json.loads(line)
        self.events.append((event["type"], event["object"]))

    def seen(self) -> list[tuple[str, str]]:
        return [(kind, obj["metadata"].get("name", "")) for kind, obj in self.events]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.events) < count:
                await asyncio.sleep(0.001)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_streaming_list_sends_what_exists_and_then_marks_the_end() -> None:
    async def scenario() -> None:
        store = Store()
        for name in ("a", "b"):
            store.create(CONFIG_MAPS, config_map(name))
        store.create(CONFIG_MAPS, config_map("elsewhere", "default"))
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        client = Client(store, query)
        await client.until(3)
        kind, bookmark = client.events[2]
        assert client.seen()[:2] == [("ADDED", "a"), ("ADDED", "b")]
        assert kind == "BOOKMARK"
        assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert bookmark["metadata"]["resourceVersion"] == str(store.version)
        client.task.cancel()

    asyncio.run(scenario())


def test_no_change_is_lost_between_snapshot_and_log() -> None:
    async def scenario() -> None:
        store = Store()
        store.create(CONFIG_MAPS, config_map("a"))
        client = Client(store, {})
        client.may_read.clear()
        await settle()
        store.create(CONFIG_MAPS, config_map("while-the-first-event-is-written"))
        client.may_read.set()
        await client.until(2)
        assert client.seen() == [("ADDED", "a"), ("ADDED", "while-the-first-event-is-written")]
        client.task.cancel()

    asyncio.run(scenario())


def test_leaving_the_selection_is_deleted_and_entering_it_added() -> None:
    async def scenario() -> None:
        store = Store()
        store.create(CONFIG_MAPS, config_map("a", app="vllm"))
        client = Client(store, {"resourceVersion": str(store.version)}, labels="app=vllm")
        await settle()
        store.update(CONFIG_MAPS, config_map("a", app="gone"))
        store.update(CONFIG_MAPS, config_map("a", app="gone", again="1"))
        store.update(CONFIG_MAPS, config_map("a", app="vllm"))
        store.delete(CONFIG_MAPS, "system", "a")
        await client.until(3)
        assert [kind for kind, _ in client.events] == ["DELETED", "ADDED", "DELETED"]
        client.task.cancel()

    asyncio.run(scenario())


def test_a_version_that_the_log_forgot_is_an_error_event() -> None:
    async def scenario() -> None:
        store = Store(log_size=2)
        for name in ("a", "b", "c", "d"):
            store.create(CONFIG_MAPS, config_map(name))
        client = Client(store, {"resourceVersion": "2"})
        await asyncio.wait_for(client.task, 5)
        [(kind, status)] = client.events
        assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_dropped() -> None:
    async def scenario() -> None:
        store = Store(watcher_buffer=3)
        client = Client(store, {"resourceVersion": str(store.version)})
        await settle()
        client.may_read.clear()
        for number in range(10):
            store.create(CONFIG_MAPS, config_map(f"c{number}"))
            await settle()
        client.may_read.set()
        await asyncio.wait_for(client.task, 5)
        assert client.events[-1][0] == "ERROR"
        assert len(client.events) < 10

    asyncio.run(scenario())


def test_a_bookmark_never_runs_ahead_of_the_events() -> None:
    async def scenario() -> None:
        store = Store()
        client = Client(store, {"resourceVersion": str(store.version), "allowWatchBookmarks": "true"}, period=0.02)
        await settle()
        client.may_read.clear()
        for name in ("a", "b"):
            store.create(CONFIG_MAPS, config_map(name))
        await asyncio.sleep(0.1)
        client.may_read.set()
        await client.until(5)
        known = 0
        for kind, obj in client.events:
            version = int(obj["metadata"]["resourceVersion"])
            if kind == "BOOKMARK":
                assert version <= max(known, 1)
            known = max(known, version)
        client.task.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sendInitialEvents": "true"}, 422),
        ({"resourceVersion": "abc"}, 500),
        ({"timeoutSeconds": "x"}, 400),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "1"}, 422),
    ],
)
def test_watch_options_that_cannot_be_honoured_are_refused(query: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        WatchOptions.of(query)
    assert refused.value.code == code


def test_a_watch_over_http_ends_at_its_timeout_with_bookmarks_on_the_way(http: Http) -> None:
    http("POST", URL, {"metadata": {"name": "x"}})
    response = http("GET", f"{URL}?watch=maybe&timeoutSeconds=1&allowWatchBookmarks=true")
    events = [json.loads(line) for line in response.text.splitlines()]
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]


def test_only_the_first_table_of_a_watch_has_columns(http: Http) -> None:
    for name in ("x", "y"):
        http("POST", URL, {"metadata": {"name": name}})
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    response = http("GET", f"{URL}?watch=1&timeoutSeconds=1", Accept=accept)
    tables = [json.loads(line)["object"] for line in response.text.splitlines()]
    assert [table["kind"] for table in tables] == ["Table", "Table"]
    assert [table["columnDefinitions"] is None for table in tables] == [False, True]


def test_what_leaves_a_selection_is_shown_as_it_was_with_the_version_of_the_change() -> None:
    async def scenario() -> None:
        store = Store()
        stored = store.create(CONFIG_MAPS, config_map("a", app="web"))
        client = Client(store, {"resourceVersion": str(store.version)}, labels="app=web")
        await settle()
        moved = {**stored, "metadata": {**stored["metadata"], "labels": {"app": "db"}}}
        store.update(CONFIG_MAPS, moved)
        await client.until(1)
        kind, shown = client.events[0]
        assert (kind, shown["metadata"]["labels"]) == ("DELETED", {"app": "web"})
        assert shown["metadata"]["resourceVersion"] == str(store.version)
        client.task.cancel()

    asyncio.run(scenario())


def test_a_watch_that_ends_soon_says_twice_where_to_go_on() -> None:
    options = WatchOptions.of({"allowWatchBookmarks": "true", "timeoutSeconds": "4"})
    assert list(_bookmark_times(60.0, options)) == [1.5, 2.5]
    streaming = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "timeoutSeconds": "4"}
    assert list(_bookmark_times(60.0, WatchOptions.of(streaming))) == [2.5]
    assert list(_bookmark_times(60.0, WatchOptions.of({"timeoutSeconds": "1"}))) == []
    assert list(_bookmark_times(60.0, WatchOptions.of({"timeoutSeconds": "130"}))) == [60.0, 120.0, 127.5, 128.5]


def test_a_watch_of_any_length_costs_no_memory_for_its_bookmarks() -> None:
    options = WatchOptions.of({"allowWatchBookmarks": "true", "timeoutSeconds": str(10**15)})
    assert next(_bookmark_times(60.0, options)) == 60.0
