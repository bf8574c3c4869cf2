"""What registering, enabling and disabling do to an entry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import InputError, OperationFailed
from clients.registry import RegistryClient
from services.model_registry import entries
from services.model_registry.database import open_engine
from services.model_registry.store import RegistryStore

from .conftest import StartRegistry

AT = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINT = "llama-2-7b-production.system.svc.cluster.local:8000"


@pytest.fixture
def registry(start_registry: StartRegistry) -> RegistryClient:
    return start_registry()


def test_a_registered_model_is_ready(registry: RegistryClient) -> None:
    change = registry.register("production", "llama-2-7b", ENDPOINT, "system")
    assert (change.entry.status, change.entry.endpoint, change.previous_status) == ("ready", ENDPOINT, "")
    assert registry.get("production", "llama-2-7b") == change.entry


def test_environments_do_not_touch_each_other(registry: RegistryClient) -> None:
    registry.register("production", "m", "a:1")
    registry.register("staging", "m", "b:1")
    registry.disable("staging", "m", "broken", "me")
    found = {entry.environment: entry.status for entry in registry.list(model_name="m")}
    assert found == {"production": "ready", "staging": "disabled"}


def test_registering_again_does_not_undo_an_intentional_disable(registry: RegistryClient) -> None:
    registry.register("production", "m", "a:1")
    registry.disable("production", "m", "rollback under way", "on-call")
    again = registry.register("production", "m", "b:1").entry
    assert (again.status, again.endpoint, again.reason) == ("disabled", "b:1", "rollback under way")
    forced = registry.register("production", "m", "b:1", force=True).entry
    assert (forced.status, forced.reason, forced.owner) == ("ready", None, None)


def test_registering_again_undoes_a_disable_that_nobody_explained(registry: RegistryClient) -> None:
    registry.register("production", "m", "a:1")
    registry.disable("production", "m")
    assert registry.register("production", "m", "a:1").entry.status == "ready"


def test_enable_tells_who_had_disabled_it_and_why(registry: RegistryClient) -> None:
    registry.register("production", "m", "a:1")
    registry.disable("production", "m", "bad outputs", "alice")
    change = registry.enable("production", "m")
    assert (change.previous_status, change.previous_reason, change.previous_owner) == (
        "disabled",
        "bad outputs",
        "alice",
    )
    assert (change.entry.status, change.entry.reason, change.entry.owner) == ("ready", None, None)


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_changing_an_unknown_model_fails_and_names_it(registry: RegistryClient, verb: str) -> None:
    with pytest.raises(OperationFailed, match="production/nobody"):
        getattr(registry, verb)("production", "nobody")


def test_a_model_name_with_a_slash_is_one_name(registry: RegistryClient) -> None:
    registry.register("production", "unsloth/gpt-oss-20b", "a:1")
    entry = registry.get("production", "unsloth/gpt-oss-20b")
    assert entry is not None
    assert entry.model_name == "unsloth/gpt-oss-20b"


@pytest.mark.parametrize("endpoint", ["nowhere", "host:", ":8000", "host:0", "host:65536", "http://h:1", "a b:1"])
def test_an_endpoint_is_host_and_port(registry: RegistryClient, endpoint: str) -> None:
    with pytest.raises(InputError, match="endpoint"):
        registry.register("production", "m", endpoint)


def test_an_unknown_environment_or_status_is_refused(registry: RegistryClient) -> None:
    with pytest.raises(InputError, match="'prod'"):
        registry.register("prod", "m", "a:1")
    with pytest.raises(InputError, match="'good'"):
        registry.list(status="good")


@given(steps=st.lists(st.sampled_from(["register", "disable", "disable on purpose", "enable", "force"]), max_size=12))
def test_only_enable_or_force_ends_an_intentional_disable(steps: list[str]) -> None:
    entry = entries.registered(None, "m", "production", "a:1", "system", at=AT, force=False)
    on_purpose = False
    for step in steps:
        if step in {"register", "force"}:
            entry = entries.registered(entry, "m", "production", "a:1", "system", at=AT, force=step == "force")
        elif step == "enable":
            entry = entries.enabled(entry, at=AT)
        else:
            entry = entries.disabled(entry, "why" if step == "disable on purpose" else None, None, at=AT)
        on_purpose = (on_purpose or step == "disable on purpose") and step not in {"enable", "force"}
        assert entry.disabled_on_purpose == on_purpose
        assert entry.status in {"ready", "disabled"}


def test_two_stores_on_one_file_lose_no_change(database_url: str) -> None:
    stores = [RegistryStore(open_engine(database_url)) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda store: store.create_schema(), stores * 2))
        list(pool.map(lambda n: stores[n % 2].register("production", f"m{n}", "a:1", "system"), range(40)))
        list(pool.map(lambda n: stores[n % 2].disable("production", f"m{n // 2}", "why", "me"), range(40)))
    assert len(stores[0].list("production", "disabled")) == 20
    assert len(stores[1].list("production", "ready")) == 20
    for store in stores:
        store.close()


def test_a_table_that_lacks_columns_is_refused_by_name(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table model_registry_entries (model_id text primary key)")
    with pytest.raises(InputError, match="disabled_reason"):
        RegistryStore(engine).create_schema()
    engine.dispose()
