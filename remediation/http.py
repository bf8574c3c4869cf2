"""The HTTP calls of the remediation: registry, completions, metrics. Standard library only; every call has a
deadline.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from clients.errors import InputError, OperationFailed
from remediation.ports import Completion
from remediation.snapshot import RegistryEntry

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower-case names) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


def call(
    method: str, url: str, *, body: object = None, token: str = "", timeout_seconds: float = TIMEOUT_SECONDS
) -> Answer:
    """One request, one answer of whatever status.

    Raises:
        OperationFailed: no answer came.
        InputError: the URL is not http or https.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("it is no http URL", where=url, remedy="give a URL such as http://10.0.0.5:8080")
    connector = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connector(parts.hostname, parts.port, timeout=timeout_seconds)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path or "/", None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    except (OSError, http.client.HTTPException) as error:
        raise OperationFailed(f"no answer: {error or type(error).__name__}", where=f"{method} {url}") from error
    finally:
        connection.close()


def completion_body(model: str) -> dict[str, object]:
    """The smallest completion request: one token."""
    return {"model": model, "prompt": "test", "max_tokens": 1}


class HttpCompletions:
    """Completions and metrics over HTTP."""

    def complete(self, base_url: str, model: str, *, api_key: str = "", timeout_seconds: float) -> Completion:
        """Ask for one token. Never raises for what the other side does: that is the answer."""
        started = time.monotonic()
        url = f"{base_url}/v1/completions"
        try:
            answer = call("POST", url, body=completion_body(model), token=api_key, timeout_seconds=timeout_seconds)
        except OperationFailed as error:
            return Completion(0, detail=error.problem, seconds=time.monotonic() - started)
        content = answer.json()
        if answer.status == 200 and not content.get("choices"):
            return Completion(502, detail="200 without choices", seconds=time.monotonic() - started)
        detail = f"{answer.status} {content.get('error', '')}".strip()
        served_by = answer.headers.get("x-served-by", "")
        code = str(content.get("code", ""))
        return Completion(answer.status, code, detail, served_by, time.monotonic() - started)

    def metrics(self, base_url: str) -> str:
        """The text of `/metrics`."""
        answer = call("GET", f"{base_url}/metrics")
        if answer.status != 200:
            raise OperationFailed(f"it answered {answer.status}", where=f"GET {base_url}/metrics")
        return answer.body.decode("utf-8", "replace")


class HttpRegistry:
    """The model registry's HTTP interface."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url, self._token = url.rstrip("/"), token

    def entry(self, environment: str, model: str) -> RegistryEntry | None:
        """The entry of a model in an environment, or None if there is none."""
        answer = self._call("GET", self._model_path(environment, model), missing_ok=True)
        return None if answer.status == 404 else _entry(answer.json())

    def entries(self, **filters: str) -> list[RegistryEntry]:
        """All entries, or those that match `environment`, `status` or `model_name`."""
        query = f"?{urlencode(filters)}" if filters else ""
        return [_entry(row) for row in self._call("GET", f"/v1/registry/models{query}").json().get("data", [])]

    def enable(self, environment: str, model: str) -> RegistryEntry:
        """Set a model ready."""
        return _entry(self._call("POST", f"{self._model_path(environment, model)}/enable").json())

    def register(self, environment: str, model: str, endpoint: str, namespace: str) -> RegistryEntry:
        """Register a model at an endpoint (`HOST:PORT`); an intentional disable stays in force."""
        body = {"endpoint": endpoint, "namespace": namespace}
        return _entry(self._call("PUT", self._model_path(environment, model), body=body).json())

    def clear_cache(self, environment: str, model: str) -> None:
        """Delete the model's one key from the cache. A key that is not there is fine."""
        path = f"/v1/registry/cache/{quote(environment, safe='')}/{quote(model, safe='')}"
        self._call("DELETE", path, missing_ok=True)

    def _model_path(self, environment: str, model: str) -> str:
        return f"/v1/registry/models/{quote(environment, safe='')}/{quote(model, safe='')}"

    def _call(self, method: str, path: str, *, body: object = None, missing_ok: bool = False) -> Answer:
        answer = call(method, f"{self._url}{path}", body=body, token=self._token)
        if answer.status < 300 or (missing_ok and answer.status == 404):
            return answer
        remedy = "check the registry's token" if answer.status in (401, 403) else ""
        problem = f"the registry answered {answer.status}: {answer.json().get('error', '')}"
        raise OperationFailed(problem, where=f"{method} {self._url}{path}", remedy=remedy)


def _entry(row: Mapping[str, Any]) -> RegistryEntry:
    """An entry as the registry writes it.

    Raises:
        InputError: it is none, so whatever answered is no model registry.
    """

    def text(key: str) -> str:
        return str(row.get(key) or "")

    if not (text("model_name") and text("status")):
        problem = "what answers there is no model registry: its entry has no model_name and status"
        raise InputError(problem, where="model registry", remedy="check --registry-url")
    return RegistryEntry(
        model=text("model_name"),
        environment=text("environment"),
        status=text("status"),
        endpoint=text("endpoint"),
        namespace=text("namespace"),
        reason=text("reason"),
        owner=text("owner"),
    )
