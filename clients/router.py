"""The API router over HTTP: one completion to see whether routing works, and its traffic counters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clients.errors import InputError, OperationFailed
from clients.http_json import Answer, call, check_base_url

TIMEOUT_SECONDS = 35.0
FAILED_OUTCOMES = ("error", "stream_cut")


@dataclass(frozen=True, slots=True)
class Completion:
    """What the router made of one request.

    ``code`` and ``error`` are empty on success; ``backend`` is the endpoint it was routed to, ``served_by`` the pod
    that answered.
    """

    status: int
    text: str
    code: str
    error: str
    backend: str
    served_by: str
    seconds: float

    @property
    def ok(self) -> bool:
        """A completion came back."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests for one model since the router started.

    ``outcomes`` counts by outcome (``success``, ``client_error``, ``refused``, ``error``, ``stream_cut``);
    ``buckets`` are the cumulative counts of the duration histogram by upper bound in seconds.
    """

    outcomes: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All requests."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> float:
        """Requests that failed through no fault of the client; refusals of a disabled model are none."""
        return sum(self.outcomes.get(outcome, 0.0) for outcome in FAILED_OUTCOMES)

    def since(self, earlier: Traffic) -> Traffic:
        """What came after ``earlier``; all of it when the router was restarted in between."""
        if any(earlier.outcomes[name] > self.outcomes.get(name, 0.0) for name in earlier.outcomes):
            return self
        return Traffic(
            {name: count - earlier.outcomes.get(name, 0.0) for name, count in self.outcomes.items()},
            {bound: count - earlier.buckets.get(bound, 0.0) for bound, count in self.buckets.items()},
        )


class RouterClient:
    """Talks to one router.

    Every method raises EnvironmentUnusable when the router cannot be reached and DeadlineExceeded when it does not
    answer in time. The counters are those of the process that answers: with several replicas, ask each pod.

    Args:
        base_url: for example ``http://api-router:8080``.
        api_key: one of the router's API keys; needed for completions only.
        timeout_seconds: how long one request may take.

    Raises:
        InputError: the URL is none.
    """

    def __init__(self, base_url: str, api_key: str = "", *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._base_url = check_base_url(base_url, where="router URL")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout_seconds = timeout_seconds

    def complete(self, model: str, prompt: str = "test", *, max_tokens: int = 1) -> Completion:
        """Sends one completion, not streamed, and returns what came back, whatever the status.

        Raises:
            InputError: the router refused the API key.
        """
        body = {"model": model, "prompt": prompt, "max_tokens": max_tokens}
        started = time.monotonic()
        answer = self._call("POST", "/v1/completions", body)
        if answer.status in {401, 403}:
            raise InputError("refused the API key", where=self._base_url, remedy="use one of the router's API keys")
        return _completion(answer, time.monotonic() - started)

    def ready(self) -> bool:
        """Whether the router says that it takes traffic."""
        return self._call("GET", "/v1/status/readyz").status == 200

    def traffic(self) -> dict[str, Traffic]:
        """The traffic counters by model.

        Raises:
            OperationFailed: the router does not show its metrics.
        """
        answer = self._call("GET", "/metrics")
        if answer.status != 200:
            raise OperationFailed(f"/metrics answered {answer.status}", where=self._base_url)
        return parse_traffic(answer.body.decode())

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        return call(
            method, self._base_url + path, body=body, headers=self._headers, timeout_seconds=self._timeout_seconds
        )


def parse_traffic(exposition: str) -> dict[str, Traffic]:
    """The traffic by model in a router's Prometheus exposition text.

    Raises:
        OperationFailed: it cannot be parsed.
    """
    from prometheus_client.parser import text_string_to_metric_families

    outcomes: dict[str, dict[str, float]] = {}
    buckets: dict[str, dict[float, float]] = {}
    try:
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                model = sample.labels.get("model", "")
                if sample.name == "api_router_requests_total":
                    outcomes.setdefault(model, {})[sample.labels["outcome"]] = sample.value
                elif sample.name == "api_router_request_duration_seconds_bucket":
                    buckets.setdefault(model, {})[float(sample.labels["le"])] = sample.value
    except (ValueError, KeyError) as error:
        raise OperationFailed(f"its metrics cannot be read: {error}", where="api-router") from error
    return {model: Traffic(counts, buckets.get(model, {})) for model, counts in outcomes.items()}


def _completion(answer: Answer, seconds: float) -> Completion:
    body = answer.json()
    error = body.get("error", "")
    choices = body.get("choices") or [{}]
    return Completion(
        status=answer.status,
        text=str(choices[0].get("text", "")),
        code=str(body.get("code") or (error.get("type", "") if isinstance(error, dict) else "")),
        error=str(error.get("message", "") if isinstance(error, dict) else error),
        backend=answer.headers.get("X-Routing-Backend", ""),
        served_by=answer.headers.get("X-Served-By", ""),
        seconds=seconds,
    )
