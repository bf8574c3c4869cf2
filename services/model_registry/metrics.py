"""What the registry tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from services.model_registry.entries import STATUSES, Entry


class RegistryMetrics:
    """The registry's metrics in a collector registry of their own."""

    def __init__(self) -> None:
        self._collectors = CollectorRegistry()
        self.requests = Counter(
            "model_registry_requests", "HTTP requests.", ["method", "route", "status"], registry=self._collectors
        )
        self.changes = Counter(
            "model_registry_changes",
            "Changes, and what became of the cached entry.",
            ["change", "cache"],
            registry=self._collectors,
        )
        self._cache_up = Gauge("model_registry_cache_up", "1 when Redis answers.", registry=self._collectors)
        self._database_up = Gauge("model_registry_database_up", "1 when it answers.", registry=self._collectors)
        self._stale_fault = Gauge(
            "model_registry_stale_cache_fault", "1 while changes leave the cache alone.", registry=self._collectors
        )
        self._status = Gauge(
            "model_registry_status",
            "1 for the status an entry has, 0 for the others.",
            ["model", "environment", "namespace", "status"],
            registry=self._collectors,
        )

    def render(self, entries: list[Entry] | None, *, cache_up: bool, stale_fault: bool) -> bytes:
        """The exposition text; ``entries`` is None when the database does not answer."""
        self._database_up.set(entries is not None)
        self._cache_up.set(cache_up)
        self._stale_fault.set(stale_fault)
        self._status.clear()
        for entry in entries or []:
            for status in STATUSES:
                self._status.labels(entry.model_name, entry.environment, entry.namespace, status).set(
                    entry.status == status
                )
        return generate_latest(self._collectors)
