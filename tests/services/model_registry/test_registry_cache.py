"""What is in Redis, and when it leaves."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from clients.errors import OperationFailed
from clients.http_json import call
from clients.registry import RegistryClient
from services.model_registry.database import open_engine
from services.model_registry.store import RegistryStore
from tests.services.platform_harness import RedisProcess, wait_until

from .conftest import StartRegistry

KEY = "model_registry:production:m"


@pytest.fixture
def registry(start_registry: StartRegistry, redis: RedisProcess) -> RegistryClient:
    client = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url)
    client.register("production", "m", "a:1")
    return client


def test_a_ready_entry_is_cached_for_120_seconds_when_it_is_read(registry: RegistryClient, redis: RedisProcess) -> None:
    assert redis.keys() == []
    registry.get("production", "m")
    with redis.client() as client:
        cached = json.loads(client.get(KEY))
        assert 118 <= client.ttl(KEY) <= 120
    assert (cached["model_name"], cached["endpoint"], cached["status"]) == ("m", "a:1", "ready")


def test_only_ready_entries_are_cached(registry: RegistryClient, redis: RedisProcess) -> None:
    registry.disable("production", "m")
    registry.get("production", "m")
    registry.get("production", "unknown")
    assert redis.keys() == []


def test_a_cached_entry_expires_by_itself(start_registry: StartRegistry, redis: RedisProcess) -> None:
    registry = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url, CACHE_TTL_SECONDS="1")
    registry.register("production", "m", "a:1")
    registry.get("production", "m")
    assert redis.keys() == [KEY]
    wait_until(lambda: redis.keys() == [], 3, "expiry")


@pytest.mark.parametrize("verb", ["register", "enable", "disable"])
def test_every_change_deletes_the_one_key(registry: RegistryClient, redis: RedisProcess, verb: str) -> None:
    registry.register("production", "other", "b:1")
    registry.get("production", "other")
    registry.get("production", "m")
    with redis.client() as client:
        client.set("rate_limit:key:k", "9")
    arguments = ("b:1",) if verb == "register" else ()
    assert getattr(registry, verb)("production", "m", *arguments).cache == "cleared"
    assert redis.keys() == ["model_registry:production:other", "rate_limit:key:k"]


def test_a_key_can_be_cleared_alone(registry: RegistryClient, redis: RedisProcess) -> None:
    registry.get("production", "m")
    assert registry.clear_cache("production", "m") is True
    assert registry.clear_cache("production", "m") is False


def test_the_stale_cache_fault_leaves_the_old_entry_until_it_is_cleared(
    registry: RegistryClient, redis: RedisProcess
) -> None:
    registry.set_stale_cache(True)
    registry.get("production", "m")
    assert registry.disable("production", "m", "bad", "me").cache == "kept"
    assert redis.keys() == [KEY]
    registry.clear_cache("production", "m")
    assert redis.keys() == []
    registry.set_stale_cache(False)
    assert registry.enable("production", "m").cache == "absent"


def test_the_stale_cache_fault_can_be_on_from_the_start(start_registry: StartRegistry, redis: RedisProcess) -> None:
    registry = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url, MODEL_REGISTRY_INVALIDATE="false")
    registry.register("production", "m", "a:1")
    registry.get("production", "m")
    assert registry.disable("production", "m").cache == "kept"


def test_looking_at_an_entry_does_not_mend_a_stale_one(registry: RegistryClient, redis: RedisProcess) -> None:
    registry.get("production", "m")
    registry.set_stale_cache(True)
    registry.register("production", "m", "moved:1")
    seen = registry.get("production", "m")
    assert seen is not None
    assert seen.endpoint == "moved:1"
    with redis.client() as client:
        assert json.loads(client.get(KEY))["endpoint"] == "a:1"


def test_without_redis_everything_works_and_readyz_says_so(registry: RegistryClient, redis: RedisProcess) -> None:
    redis.stop()
    assert registry.get("production", "m") is not None
    detail = call("GET", registry._base_url + "/readyz", timeout_seconds=5)
    assert (detail.status, detail.json()["status"]) == (200, "degraded")
    assert detail.json()["cache"] != "ok"
    assert b"model_registry_cache_up 0.0" in call("GET", registry._base_url + "/metrics", timeout_seconds=5).body
    with pytest.raises(OperationFailed, match="Redis"):
        registry.clear_cache("production", "m")


def test_a_delete_that_redis_missed_is_made_up_for(registry: RegistryClient, redis: RedisProcess) -> None:
    registry.get("production", "m")
    assert redis.process is not None
    redis.process.send_signal(signal.SIGSTOP)
    try:
        assert registry.disable("production", "m", "bad", "me").cache == "pending"
    finally:
        redis.process.send_signal(signal.SIGCONT)
    wait_until(lambda: redis.keys() == [], what="the late delete")


def test_the_cache_is_used_again_after_redis_was_restarted(registry: RegistryClient, redis: RedisProcess) -> None:
    redis.stop()
    registry.get("production", "m")
    redis.start()

    def filled() -> bool:
        registry.get("production", "m")
        return redis.keys() == [KEY]

    wait_until(filled, what="a filled cache")


def test_reading_never_caches_what_another_process_has_changed(
    start_registry: StartRegistry, redis: RedisProcess, database_url: str
) -> None:
    """One process fills the cache by reading while another changes the entry and deletes the key."""
    reader = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url)
    writer = start_registry(MODEL_REGISTRY_REDIS_URL=redis.url)
    writer.register("production", "m", "a:1")
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            reader.get("production", "m")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for _ in range(60):
        writer.disable("production", "m", "bad", "me")
        wait_until(lambda: redis.keys() == [], 2, "an empty cache while disabled")
        writer.enable("production", "m")
    writer.disable("production", "m", "bad", "me")
    stop.set()
    for thread in readers:
        thread.join()
    assert redis.keys() == []
    store = RegistryStore(open_engine(database_url))
    assert store.list("production", "ready") == []
    store.close()
