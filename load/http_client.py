"""Sends one OpenAI request and reports what a client sees: status, first token, end, cut streams."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from load.arrivals import Arrival
from load.samples import Outcome, Sample

_PATHS = {"completion": "/v1/completions", "chat": "/v1/chat/completions"}


@dataclass(slots=True)
class _Answer:
    status: int = 0
    first_token_seconds: float | None = None
    tokens: int = 0
    served_by: str = ""
    complete: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the requests go.

    Attributes:
        url: scheme, host and port of the router, such as ``http://127.20.0.5:8080``.
        api_key: sent as a bearer token.
        timeout_seconds: for the connection and for each read.
    """

    url: str
    api_key: str
    timeout_seconds: float


def send(endpoint: Endpoint, model: str, arrival: Arrival, intended_seconds: float) -> Sample:
    """Send one request on a connection of its own and wait for its end. Never raises for what the server does."""
    started = time.monotonic()
    answer = _Answer()
    error = ""
    outcome: Outcome
    try:
        _exchange(endpoint, model, arrival, answer)
        outcome = _outcome(answer)
    except TimeoutError as caught:
        outcome, error = "timeout", str(caught)
    except (OSError, http.client.HTTPException, ValueError) as caught:
        outcome = "stream_cut" if answer.status == 200 else "connect_error"
        error = f"{type(caught).__name__}: {caught}"
    return Sample(
        number=arrival.number,
        kind=arrival.kind,
        stream=arrival.stream,
        intended_seconds=intended_seconds,
        started_seconds=started,
        first_token_seconds=answer.first_token_seconds,
        ended_seconds=time.monotonic(),
        status=answer.status,
        outcome=outcome,
        tokens=answer.tokens,
        served_by=answer.served_by,
        error=error or answer.code,
    )


def _exchange(endpoint: Endpoint, model: str, arrival: Arrival, answer: _Answer) -> None:
    address = urlsplit(endpoint.url)
    connection = http.client.HTTPConnection(
        address.hostname or "127.0.0.1", address.port, timeout=endpoint.timeout_seconds
    )
    try:
        connection.request(
            "POST",
            _PATHS[arrival.kind],
            json.dumps(_body(model, arrival)),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {endpoint.api_key}",
                "Connection": "close",
            },
        )
        response = connection.getresponse()
        answer.status = response.status
        answer.served_by = response.getheader("X-Served-By", "")
        if response.status == 200 and arrival.stream:
            _read_stream(response, answer)
        else:
            _read_body(response, answer)
    finally:
        connection.close()


def _body(model: str, arrival: Arrival) -> dict[str, object]:
    body: dict[str, object] = {"model": model, "max_tokens": arrival.max_tokens, "stream": arrival.stream}
    if arrival.kind == "chat":
        body["messages"] = [{"role": "user", "content": arrival.prompt}]
    else:
        body["prompt"] = arrival.prompt
    return body


def _read_stream(response: http.client.HTTPResponse, answer: _Answer) -> None:
    while line := response.readline():
        if not line.startswith(b"data:"):
            continue
        payload = line[5:].strip()
        if payload == b"[DONE]":
            answer.complete = True
            continue
        if payload.startswith(b'{"error"'):
            answer.code = payload.decode(errors="replace")[:200]
            return
        answer.tokens += 1
        if answer.first_token_seconds is None:
            answer.first_token_seconds = time.monotonic()


def _read_body(response: http.client.HTTPResponse, answer: _Answer) -> None:
    body = json.loads(response.read())
    if response.status == 200:
        answer.first_token_seconds = time.monotonic()
        answer.tokens = int(body.get("usage", {}).get("completion_tokens", 0))
        answer.complete = True
    else:
        answer.code = str(body.get("code", ""))


def _outcome(answer: _Answer) -> Outcome:
    if answer.status == 200:
        return "ok" if answer.complete else "stream_cut"
    if answer.status == 429:
        return "rate_limited"
    if answer.code == "MODEL_DISABLED":
        return "refused"
    return "server_error" if answer.status >= 500 else "client_error"
