"""What the router tells Prometheus. Labels never hold a model name that the registry does not know."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.api_router.refusals import OUTCOMES, Outcome

UNKNOWN_MODEL = "unknown"
DURATION_BOUNDS_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0),
    *(3.0, 4.5, 6.0, 10.0, 20.0, 30.0, 60.0),
)


class RouterMetrics:
    """The router's metrics in a collector registry of their own."""

    def __init__(self) -> None:
        self._collectors = CollectorRegistry()
        self._known: set[str] = set()
        self._requests = Counter(
            "api_router_requests", "Requests by outcome.", ["model", "outcome"], registry=self._collectors
        )
        self._durations = Histogram(
            "api_router_request_duration_seconds",
            "From the request to the end of its answer.",
            ["model"],
            buckets=DURATION_BOUNDS_SECONDS,
            registry=self._collectors,
        )
        self.backend_errors = Counter(
            "api_router_backend_errors",
            "What went wrong with backends, retries included.",
            ["model", "error_type"],
            registry=self._collectors,
        )
        self.lookups = Counter(
            "api_router_lookups", "Where models were looked up.", ["source", "result"], registry=self._collectors
        )
        self.in_flight = Gauge("api_router_in_flight_requests", "Under way now.", registry=self._collectors)

    def know(self, model: str) -> None:
        """A model exists: it may be a label, and its series start at 0."""
        if model not in self._known:
            self._known.add(model)
            for outcome in OUTCOMES:
                self._requests.labels(model, outcome)

    def label(self, model: str) -> str:
        """The model if it exists, else ``unknown``."""
        return model if model in self._known else UNKNOWN_MODEL

    def observe(self, model: str, outcome: Outcome, duration_seconds: float) -> None:
        """One request has ended."""
        label = self.label(model)
        self._requests.labels(label, outcome).inc()
        self._durations.labels(label).observe(duration_seconds)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._collectors)
