"""Prometheus metrics under vLLM's names, labels and buckets (0.33), in a registry of their own."""

from __future__ import annotations

from collections.abc import Sequence as Items

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from services.mock_vllm.engine import BLOCK_TOKENS, Engine, FinishReason, Sequence, StepReport
from services.mock_vllm.options import Options

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LABELS = ("model_name", "engine")
_BUCKETS: dict[str, tuple[float, ...]] = {
    "request_latency": (
        *(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60),
        *(120, 240, 480, 960, 1920, 7680),
    ),
    "time_to_first_token": (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5),
        *(10, 20, 40, 80, 160, 640, 2560),
    ),
    "inter_token_latency": (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5),
        *(10, 20, 40, 80),
    ),
    "iteration_tokens": (1, *(2.0**power for power in range(3, 15))),
    "request_params_n": (1, 2, 5, 10, 20),
    "request_num_preemptions": (1, 2, 3, 4, 5, 10, 20),
}
_HTTP_BUCKETS = (0.1, 0.5, 1)
_HTTP_FINE_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5),
    *(3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60),
)


class EngineMetrics:
    """What the engine did and does; an observer of its steps.

    Attributes:
        prompt_tokens_seen, generation_tokens_seen: totals, for the statistics log line.
    """

    def __init__(self, registry: CollectorRegistry, options: Options, engine: Engine) -> None:
        self._registry, self._engine, self._options = registry, engine, options
        self._values = (options.served_model_names[0], "0")
        self._buckets = {**_BUCKETS, "request_tokens": _token_buckets(options.max_model_len)}
        self._buckets |= options.histogram_buckets or {}
        self.prompt_tokens_seen = 0
        self.generation_tokens_seen = 0
        self._add_gauges()
        self._add_counters()
        self._add_histograms()

    def stepped(self, report: StepReport) -> None:
        """Count one engine step."""
        self._iteration_tokens.observe(report.tokens)
        for sequence in report.first_tokens:
            self._time_to_first_token.observe(_between(sequence.arrived_at, sequence.first_token_at))
            self._count_prompt(sequence)
        for interval_seconds in report.intervals_seconds:
            self._inter_token_latency.observe(interval_seconds)
        generated = len(report.first_tokens) + len(report.intervals_seconds)
        self.generation_tokens_seen += generated
        self._generation_tokens.inc(generated)
        if report.preemptions:
            self._preemptions.inc(report.preemptions)

    def ended(self, sequence: Sequence) -> None:
        """Count one finished sequence."""
        assert sequence.finish_reason is not None
        self._success[sequence.finish_reason].inc()
        for histogram, value in self._request_values(sequence):
            histogram.observe(value)

    def rejected(self, limit: str) -> None:
        """Count one request that a queue limit turned away."""
        self._rejections[limit].inc()

    def _count_prompt(self, sequence: Sequence) -> None:
        self.prompt_tokens_seen += sequence.prompt_tokens
        self._prompt_tokens.inc(sequence.prompt_tokens)
        self._prompt_tokens_computed.inc(sequence.prompt_tokens)
        self._prefix_cache_queries.inc(sequence.prompt_tokens)

    def _request_values(self, sequence: Sequence) -> list[tuple[Histogram, float]]:
        """Observations of one finished sequence; phases that it never reached took no time."""
        decode_seconds = _between(sequence.first_token_at, sequence.last_token_at)
        per_token_seconds = decode_seconds / (sequence.generated - 1) if sequence.generated > 1 else 0.0
        return [
            (self._e2e_latency, _between(sequence.arrived_at, sequence.finished_at)),
            (self._queue_time, _between(sequence.arrived_at, sequence.admitted_at)),
            (self._inference_time, _between(sequence.admitted_at, sequence.last_token_at)),
            (self._prefill_time, _between(sequence.admitted_at, sequence.first_token_at)),
            (self._decode_time, decode_seconds),
            (self._time_per_output_token, per_token_seconds),
            (self._request_prompt_tokens, sequence.prompt_tokens),
            (self._request_generation_tokens, sequence.generated),
            (self._request_max_num_generation_tokens, sequence.generated),
            (self._request_prefill_kv_computed_tokens, sequence.prompt_tokens),
            (self._params_n, sequence.n),
            (self._params_max_tokens, sequence.max_tokens),
            (self._request_preemptions, sequence.preemptions),
        ]

    def _add_gauges(self) -> None:
        engine = self._engine
        self._gauge("num_requests_running", "Requests in execution.").set_function(lambda: len(engine.running))
        self._gauge("num_requests_waiting", "Requests in the queue.").set_function(lambda: len(engine.waiting))
        self._gauge("kv_cache_usage_perc", "KV cache usage, 1 is full.").set_function(lambda: engine.kv_cache_usage)
        by_reason = self._labelled_gauge("num_requests_waiting_by_reason", "Waiting requests by reason.", "reason")
        by_reason.labels(*self._values, "capacity").set_function(lambda: len(engine.waiting))
        by_reason.labels(*self._values, "deferred").set(0)
        sleep = self._labelled_gauge("engine_sleep_state", "Sleep state of the engine.", "sleep_state")
        for state in ("awake", "weights_offloaded", "discard_all"):
            sleep.labels(*self._values, state).set(state == "awake")
        self._add_cache_config()

    def _add_cache_config(self) -> None:
        values = {
            "block_size": str(BLOCK_TOKENS),
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "gpu_memory_utilization": str(self._options.gpu_memory_utilization),
            "num_gpu_blocks": str(self._engine.limits.blocks),
            "engine": "0",
        }
        info = Gauge("vllm:cache_config_info", "Cache configuration.", tuple(values), registry=self._registry)
        info.labels(**values).set(1)

    def _add_counters(self) -> None:
        self._prompt_tokens = self._counter("prompt_tokens", "Prefill tokens processed.")
        self._generation_tokens = self._counter("generation_tokens", "Generation tokens processed.")
        self._preemptions = self._counter("num_preemptions", "Preemptions by the engine.")
        self._prefix_cache_queries = self._counter("prefix_cache_queries", "Prefix cache queries, in tokens.")
        for name in ("prefix_cache_hits", "external_prefix_cache_queries", "external_prefix_cache_hits"):
            self._counter(name, "Prefix cache, in tokens.")
        for name in ("mm_cache_queries", "mm_cache_hits", "corrupted_requests", "prompt_tokens_cached"):
            self._counter(name, "Always zero in this server.")
        sources = self._labelled_counter("prompt_tokens_by_source", "Prompt tokens by source.", "source")
        self._prompt_tokens_computed = sources.labels(*self._values, "local_compute")
        success = self._labelled_counter("request_success", "Finished requests by reason.", "finished_reason")
        self._success = {reason: success.labels(*self._values, reason.value) for reason in FinishReason}
        success.labels(*self._values, "repetition")
        rejections = Counter(
            "vllm:admission_rejections",
            "Requests that were not admitted.",
            ("model_name", "reason"),
            registry=self._registry,
        )
        limits = ("max_num_queued_reqs", "max_num_queued_tokens")
        self._rejections = {limit: rejections.labels(self._values[0], limit) for limit in limits}

    def _add_histograms(self) -> None:
        latency = "request_latency"
        self._time_to_first_token = self._histogram("time_to_first_token_seconds", "time_to_first_token")
        self._inter_token_latency = self._histogram("inter_token_latency_seconds", "inter_token_latency")
        self._time_per_output_token = self._histogram("request_time_per_output_token_seconds", "inter_token_latency")
        self._e2e_latency = self._histogram("e2e_request_latency_seconds", latency)
        self._queue_time = self._histogram("request_queue_time_seconds", latency)
        self._inference_time = self._histogram("request_inference_time_seconds", latency)
        self._prefill_time = self._histogram("request_prefill_time_seconds", latency)
        self._decode_time = self._histogram("request_decode_time_seconds", latency)
        self._iteration_tokens = self._histogram("iteration_tokens_total", "iteration_tokens")
        self._request_prompt_tokens = self._histogram("request_prompt_tokens", "request_tokens")
        self._request_generation_tokens = self._histogram("request_generation_tokens", "request_tokens")
        self._request_max_num_generation_tokens = self._histogram("request_max_num_generation_tokens", "request_tokens")
        self._request_prefill_kv_computed_tokens = self._histogram(
            "request_prefill_kv_computed_tokens", "request_tokens"
        )
        self._params_n = self._histogram("request_params_n", "request_params_n")
        self._params_max_tokens = self._histogram("request_params_max_tokens", "request_tokens")
        self._request_preemptions = self._histogram("request_num_preemptions", "request_num_preemptions")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, _LABELS, registry=self._registry).labels(*self._values)

    def _labelled_gauge(self, name: str, text: str, label: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, (*_LABELS, label), registry=self._registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, _LABELS, registry=self._registry).labels(*self._values)

    def _labelled_counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"vllm:{name}", text, (*_LABELS, label), registry=self._registry)

    def _histogram(self, name: str, family: str) -> Histogram:
        text = f"Histogram of {name.replace('_', ' ')}."
        histogram = Histogram(f"vllm:{name}", text, _LABELS, registry=self._registry, buckets=self._buckets[family])
        return histogram.labels(*self._values)


class HttpMetrics:
    """Requests as the HTTP server sees them, under the names of vLLM's FastAPI instrumentation."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by_handler = ("handler", "method")
        self._requests = Counter(
            "http_requests", "Requests by method, status and handler.", (*by_handler, "status"), registry=registry
        )
        self._duration = Histogram(
            "http_request_duration_seconds", "Latency.", by_handler, registry=registry, buckets=_HTTP_BUCKETS
        )
        self._fine_duration = Histogram(
            "http_request_duration_highr_seconds",
            "Latency, all handlers.",
            registry=registry,
            buckets=_HTTP_FINE_BUCKETS,
        )
        self._request_size = Summary("http_request_size_bytes", "Size of requests.", ("handler",), registry=registry)
        self._response_size = Summary("http_response_size_bytes", "Size of responses.", ("handler",), registry=registry)

    def observe(
        self, handler: str, method: str, status: int, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Count one answered request; `handler` is the route's path or `none`."""
        self._requests.labels(handler, method, f"{status // 100}xx").inc()
        self._duration.labels(handler, method).observe(seconds)
        self._fine_duration.observe(seconds)
        self._request_size.labels(handler).observe(request_bytes)
        self._response_size.labels(handler).observe(response_bytes)


def new_registry() -> CollectorRegistry:
    """A registry with the `process_*` and `python_*` metrics."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """The registry in Prometheus' text format."""
    return generate_latest(registry)


def _between(begin: float | None, end: float | None) -> float:
    return 0.0 if begin is None or end is None else max(0.0, end - begin)


def _token_buckets(maximum: int) -> Items[float]:
    """1, 2, 5, 10, 20, 50, ... up to the maximum."""
    buckets: list[float] = []
    magnitude = 1
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * magnitude > maximum:
                return tuple(buckets)
            buckets.append(float(mantissa * magnitude))
        magnitude *= 10
