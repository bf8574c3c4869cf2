"""What components rely on, asked of the client in the process and of the one over HTTPS."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from cluster.embedded.apiserver.auth import kubeconfig
from cluster.embedded.apiserver.bootstrap import bootstrap
from cluster.embedded.apiserver.http import ApiServer
from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.tls import create_tls_files
from cluster.embedded.client import ApiClient, ApiError, WatchEvent
from cluster.embedded.http_client import HttpClient
from cluster.embedded.informer import Informer
from cluster.embedded.kubeconfig import Credentials
from cluster.embedded.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    Object,
    Resource,
)
from cluster.embedded.store import Store
from tests.cluster.apiserver.conftest import FakeStreams

TOKEN = "a-test-token"
APPLIED = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "one", "namespace": "default"},
    "data": {"d": "5"},
}
SECONDS = 20

Scenario = Callable[[ApiClient], Awaitable[None]]
Play = Callable[[Scenario], None]


@asynccontextmanager
async def served(folder: Path, store: Store | None = None) -> AsyncIterator[tuple[Registry, Credentials, ApiServer]]:
    """A Registry and the HTTPS server on it, with the credentials of its administrator."""
    registry, tls = Registry(store or Store()), create_tls_files(folder)
    server = ApiServer(registry, token=TOKEN, tls=tls, pod_streams=FakeStreams(), bookmark_period_seconds=0.05)
    port = await server.start()
    bootstrap(registry, api_port=port)
    path = folder / "kubeconfig"
    path.write_text(kubeconfig(f"https://127.0.0.1:{port}", tls.ca_pem, TOKEN, "test"))
    try:
        yield registry, Credentials.load(path), server
    finally:
        await server.stop()


@pytest.fixture(params=["in the process", "over HTTPS"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Runs a scenario with a client of either kind."""

    async def run(scenario: Scenario) -> None:
        async with asyncio.timeout(SECONDS), served(tmp_path) as (registry, credentials, _):
            if request.param == "in the process":
                await scenario(LocalClient(registry, manager="tester"))
                return
            async with HttpClient(credentials, manager="tester") as client:
                await scenario(client)

    return lambda scenario: asyncio.run(run(scenario))


def config_map(name: str, namespace: str = "default", **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}, "data": data}


def pod(name: str) -> Object:
    spec = {"containers": [{"name": "app", "image": "lab/app:1"}]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def node(name: str) -> Object:
    return {"metadata": {"name": name, "labels": {"zone": "a"}}, "spec": {}}


async def seen(client: ApiClient, resource: Resource, since: str, count: int, **selection: str) -> list[WatchEvent]:
    """The first events of a watch."""
    events: list[WatchEvent] = []
    async with aclosing(client.watch(resource, "default", resource_version=since, **selection)) as watch:  # type: ignore[type-var]
        async for event in watch:
            events.append(event)
            if len(events) == count:
                break
    return events


def test_what_was_created_is_read_back(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        created = await client.create(CONFIG_MAPS, config_map("one", key="value"))
        read = await client.get(CONFIG_MAPS, "one", "default")
        assert read == created
        assert (read["kind"], read["apiVersion"], read["data"]) == ("ConfigMap", "v1", {"key": "value"})
        assert [entry["manager"] for entry in read["metadata"]["managedFields"]] == ["tester"]

    play(scenario)


def test_objects_without_namespace(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        await client.create(NODES, node("n1"))
        await client.create(NAMESPACES, {"metadata": {"name": "other"}})
        assert (await client.get(NODES, "n1"))["metadata"]["labels"] == {"zone": "a"}
        patched = await client.patch(NODES, "n1", {"status": {"capacity": {"cpu": "4"}}}, subresource="status")
        assert patched["status"]["capacity"] == {"cpu": "4"}
        assert [n["metadata"]["name"] for n in (await client.list(NODES)).items] == ["n1"]

    play(scenario)


def test_lists_select_by_namespace_label_and_field(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        await client.create(NAMESPACES, {"metadata": {"name": "other"}})
        for name, namespace in (("a", "default"), ("b", "default"), ("a", "other")):
            await client.create(CONFIG_MAPS, config_map(name, namespace))

        async def names(namespace: str | None, **selection: str) -> list[tuple[str, str]]:
            listed = await client.list(CONFIG_MAPS, namespace, **selection)
            assert all(item["kind"] == "ConfigMap" and item["apiVersion"] == "v1" for item in listed.items)
            return [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in listed.items]

        assert await names("default") == [("default", "a"), ("default", "b")]
        assert await names(None, labels="app=a") == [("default", "a"), ("other", "a")]
        assert await names(None, labels="app in (a),app!=b", fields="metadata.namespace=other") == [("other", "a")]

    play(scenario)


@pytest.mark.parametrize(
    ("patch_type", "patch", "expected"),
    [
        ("merge", {"data": {"a": None, "b": "2"}}, {"b": "2"}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "3"}], {"a": "3"}),
        ("strategic", {"data": {"c": "4"}}, {"a": "1", "c": "4"}),
        ("apply", APPLIED, {"a": "1", "d": "5"}),
    ],
)
def test_every_kind_of_patch(play: Play, patch_type: str, patch: object, expected: dict[str, str]) -> None:
    async def scenario(client: ApiClient) -> None:
        await client.create(CONFIG_MAPS, config_map("one", a="1"))
        patched = await client.patch(CONFIG_MAPS, "one", patch, "default", patch_type=patch_type)  # type: ignore[arg-type]
        assert patched["data"] == expected

    play(scenario)


def test_a_stale_update_conflicts(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        first = copy.deepcopy(await client.create(CONFIG_MAPS, config_map("one", a="1")))
        await client.update(CONFIG_MAPS, {**first, "data": {"a": "2"}})
        with pytest.raises(ApiError) as refused:
            await client.update(CONFIG_MAPS, {**first, "data": {"a": "3"}})
        assert (refused.value.code, refused.value.reason) == (409, "Conflict")
        with pytest.raises(ApiError) as exists:
            await client.create(CONFIG_MAPS, config_map("one"))
        assert exists.value.reason == "AlreadyExists"

    play(scenario)


def test_what_is_not_there_is_404(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        for call in (client.get(PODS, "no", "default"), client.delete(PODS, "no", "default")):
            with pytest.raises(ApiError) as refused:
                await call
            assert (refused.value.code, refused.value.reason) == (404, "NotFound")
            assert str(refused.value) == 'pods "no" not found'
        with pytest.raises(ApiError) as unserved:
            await client.list(Resource("example.com", "v1", "things", "Thing"))
        assert unserved.value.code == 404

    play(scenario)


def test_a_pod_is_bound_reported_evicted_and_deleted(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        await client.create(NODES, node("n1"))
        made = await client.create(PODS, pod("p"))
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p", "namespace": "default"},
            "target": {"kind": "Node", "name": "n1"},
        }
        await client.create(PODS, binding, subresource="binding")
        status = {"status": {"phase": "Running", "podIP": "127.16.128.1"}}
        reported = await client.patch(PODS, "p", status, "default", patch_type="strategic", subresource="status")
        assert (reported["spec"]["nodeName"], reported["status"]["phase"]) == ("n1", "Running")
        await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}}, subresource="eviction")
        assert "deletionTimestamp" in (await client.get(PODS, "p", "default"))["metadata"]
        with pytest.raises(ApiError) as other:
            await client.delete(PODS, "p", "default", grace_period_seconds=0, uid="another")
        assert other.value.code == 409
        await client.delete(PODS, "p", "default", grace_period_seconds=0, uid=made["metadata"]["uid"])
        with pytest.raises(ApiError):
            await client.get(PODS, "p", "default")

    play(scenario)


def test_scaling_through_the_subresource(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        template = {"metadata": {"labels": {"app": "d"}}, "spec": pod("x")["spec"]}
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": template}
        await client.create(DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "default"}, "spec": spec})
        await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 3}}, "default", subresource="scale")
        assert (await client.get(DEPLOYMENTS, "d", "default"))["spec"]["replicas"] == 3

    play(scenario)


def test_deletion_waits_for_finalizers_and_says_how_dependents_go(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        held = config_map("held")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(CONFIG_MAPS, held)
        await client.delete(CONFIG_MAPS, "held", "default", propagation="Foreground")
        left = await client.get(CONFIG_MAPS, "held", "default")
        assert set(left["metadata"]["finalizers"]) == {"example.com/hold", "foregroundDeletion"}

    play(scenario)


def test_a_watch_says_what_enters_and_leaves_the_selection(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        since = (await client.list(CONFIG_MAPS, "default")).resource_version
        watching = asyncio.create_task(seen(client, CONFIG_MAPS, since, 4, labels="app=one"))
        await client.create(CONFIG_MAPS, config_map("one"))
        await client.create(CONFIG_MAPS, config_map("two"))
        await client.patch(CONFIG_MAPS, "one", {"data": {"k": "v"}}, "default")
        await client.patch(CONFIG_MAPS, "one", {"metadata": {"labels": {"app": "x"}}}, "default")
        await client.patch(CONFIG_MAPS, "one", {"metadata": {"labels": {"app": "one"}}}, "default")
        events = await watching
        assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
        assert all(event.object["kind"] == "ConfigMap" for event in events)

    play(scenario)


def test_a_watch_from_the_past_begins_there(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        since = (await client.list(CONFIG_MAPS, "default")).resource_version
        for name in ("one", "two", "three"):
            await client.create(CONFIG_MAPS, config_map(name))
        events = await seen(client, CONFIG_MAPS, since, 3)
        assert [event.object["metadata"]["name"] for event in events] == ["one", "two", "three"]

    play(scenario)


def test_an_object_of_a_megabyte_is_one_event(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        since = (await client.list(CONFIG_MAPS, "default")).resource_version
        await client.create(CONFIG_MAPS, config_map("big", blob="x" * 1_000_000))
        (event,) = await seen(client, CONFIG_MAPS, since, 1)
        assert len(event.object["data"]["blob"]) == 1_000_000

    play(scenario)


def test_an_informer_follows(play: Play) -> None:
    async def scenario(client: ApiClient) -> None:
        informer = Informer(client, CONFIG_MAPS)
        deleted = asyncio.Event()

        def handler(old: Object | None, new: Object | None) -> None:
            if new is None and old is not None and old["metadata"]["name"] == "one":
                deleted.set()

        informer.add_handler(handler)
        running = asyncio.create_task(informer.run())
        await informer.synced.wait()
        await client.create(CONFIG_MAPS, config_map("one"))
        await client.delete(CONFIG_MAPS, "one", "default")
        await deleted.wait()
        assert informer.get("default", "one") is None
        running.cancel()

    play(scenario)
