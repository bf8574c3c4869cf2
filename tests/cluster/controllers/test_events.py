"""Events are counted, combined and dropped as client-go's recorders do it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.events import EventRecorder, SeriesRecorder
from cluster.embedded.resources import CONFIG_MAPS, EVENTS
from cluster.embedded.store import Store


def _with_object(body: Callable[[LocalClient, Any], Awaitable[None]]) -> None:
    async def run() -> None:
        client = LocalClient(Registry(Store()))
        obj = await client.create(CONFIG_MAPS, {"metadata": {"name": "web", "namespace": "system"}})
        await body(client, obj)

    asyncio.run(run())


def test_an_event_has_the_fields_of_a_recorded_one() -> None:
    async def body(client: LocalClient, obj: Any) -> None:
        recorder = EventRecorder(client, "kubelet", "node-1")
        recorder.event(obj, "Warning", "BackOff", "again", field_path="spec.containers{app}")
        await recorder.flush()
        (event,) = (await client.list(EVENTS, "system")).items
        assert event["metadata"]["name"].startswith("web.")
        assert event["source"] == {"component": "kubelet", "host": "node-1"}
        assert (event["reportingComponent"], event["reportingInstance"]) == ("kubelet", "node-1")
        assert event["count"] == 1
        assert event.get("eventTime") is None
        assert event["firstTimestamp"] == event["lastTimestamp"]
        assert event["involvedObject"]["fieldPath"] == "spec.containers{app}"
        assert event["involvedObject"]["uid"] == obj["metadata"]["uid"]

    _with_object(body)


def test_a_repeated_event_is_counted_and_another_message_is_another_event() -> None:
    async def body(client: LocalClient, obj: Any) -> None:
        recorder = EventRecorder(client, "c")
        for message in ("a", "a", "b", "a"):
            recorder.event(obj, "Normal", "R", message)
        await recorder.flush()
        assert {e["message"]: e["count"] for e in (await client.list(EVENTS)).items} == {"a": 3, "b": 1}

    _with_object(body)


def test_the_tenth_different_message_is_combined() -> None:
    async def body(client: LocalClient, obj: Any) -> None:
        recorder = EventRecorder(client, "deployment-controller")
        for number in range(12):
            recorder.event(obj, "Normal", "ScalingReplicaSet", f"m{number}")
        await recorder.flush()
        events = (await client.list(EVENTS)).items
        assert len(events) == 10
        (combined,) = [e for e in events if e["message"].startswith("(combined")]
        assert combined["message"] == "(combined from similar events): m11"
        assert combined["count"] == 3
        assert combined["reportingComponent"] == ""

    _with_object(body)


def test_a_flood_about_one_object_is_dropped_after_25() -> None:
    async def body(client: LocalClient, obj: Any) -> None:
        recorder = EventRecorder(client, "c")
        for _ in range(40):
            recorder.event(obj, "Normal", "R", "m")
        await recorder.flush()
        assert [e["count"] for e in (await client.list(EVENTS)).items] == [25]

    _with_object(body)


def test_an_event_that_was_deleted_is_written_again() -> None:
    async def body(client: LocalClient, obj: Any) -> None:
        recorder = EventRecorder(client, "c")
        recorder.event(obj, "Normal", "R", "m")
        await recorder.flush()
        (event,) = (await client.list(EVENTS)).items
        await client.delete(EVENTS, event["metadata"]["name"], "system")
        recorder.event(obj, "Normal", "R", "m")
        await recorder.flush()
        assert [e["count"] for e in (await client.list(EVENTS)).items] == [2]

    _with_object(body)


def test_the_scheduler_writes_no_count_and_starts_a_series() -> None:
    async def body(client: LocalClient, obj: Any) -> None:
        recorder = SeriesRecorder(client, "default-scheduler", "vm")
        recorder.event(obj, "Warning", "FailedScheduling", "m", action="Scheduling")
        await recorder.flush()
        (event,) = (await client.list(EVENTS)).items
        assert "count" not in event
        assert event.get("lastTimestamp") is None
        assert event.get("firstTimestamp") is None
        assert not event.get("source")
        assert event["reportingInstance"] == "default-scheduler-vm"
        recorder.event(obj, "Warning", "FailedScheduling", "m", action="Scheduling")
        await recorder.flush()
        (event,) = (await client.list(EVENTS)).items
        assert event["series"]["count"] == 2

    _with_object(body)
