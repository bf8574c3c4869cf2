"""The model registry over HTTP, as remediation, experiments and admin-cli use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

from clients.errors import EnvironmentUnusable, InputError, OperationFailed
from clients.http_json import Answer, call, check_base_url

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One model in one environment. ``reason`` and ``owner`` are set when it was disabled on purpose."""

    id: int
    model_name: str
    endpoint: str
    status: str
    environment: str
    namespace: str
    reason: str | None = None
    owner: str | None = None
    last_health: str | None = None
    created_at: str = ""
    updated_at: str = ""

    @property
    def ready(self) -> bool:
        """Traffic may go to it."""
        return self.status == "ready"

    @property
    def disabled_on_purpose(self) -> bool:
        """Somebody disabled it and said why."""
        return self.status == "disabled" and bool(self.reason)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RegistryEntry:
        """The entry in an answer of the registry.

        Raises:
            OperationFailed: fields are missing.
        """
        try:
            return cls(**{name: fields[name] for name in cls.__slots__})
        except KeyError as error:
            raise OperationFailed(f"the answer lacks {error}", where="model registry") from None


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """What a change did.

    ``previous_*`` tell what the entry was before (empty for a new one). ``cache`` is what became of the cached
    entry: ``cleared``, ``absent`` (was not cached), ``pending`` (Redis does not answer; it is cleared as soon as it
    does), ``none`` (no cache), ``kept`` (the stale-cache fault is on).
    """

    entry: RegistryEntry
    previous_status: str
    previous_reason: str | None
    previous_owner: str | None
    cache: Literal["cleared", "absent", "pending", "none", "kept"]


class RegistryClient:
    """Reads and changes registry entries.

    Every method raises EnvironmentUnusable when the registry cannot be reached or its database is down,
    DeadlineExceeded when it does not answer in time, InputError for a wrong token or names it refuses, and
    OperationFailed for what it could not do (an unknown model, for example).

    Args:
        base_url: for example ``http://model-registry:8081``.
        token: needed for changes only.
        owner: who makes the changes; the registry logs it.
        timeout_seconds: how long one request may take.

    Raises:
        InputError: the URL is none.
    """

    def __init__(
        self, base_url: str, token: str = "", *, owner: str = "", timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._base_url = check_base_url(base_url, where="registry URL")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if owner:
            self._headers["X-Owner"] = quote(owner, safe=" @.+")
        self._timeout_seconds = timeout_seconds

    def list(
        self, environment: str | None = None, status: str | None = None, model_name: str | None = None
    ) -> list[RegistryEntry]:
        """The entries that match what is given, ordered by environment and model; from the database."""
        wanted = {"environment": environment, "status": status, "model_name": model_name}
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        answer = self._ask("GET", f"/v1/registry/models{'?' if query else ''}{query}")
        return [RegistryEntry.from_json(fields) for fields in answer.get("data", [])]

    def get(self, environment: str, model_name: str) -> RegistryEntry | None:
        """The entry from the database, or None."""
        answer = self._call("GET", _model(environment, model_name))
        return None if answer.status == 404 else RegistryEntry.from_json(_checked(answer, self._base_url))

    def register(
        self, environment: str, model_name: str, endpoint: str, namespace: str = "system", *, force: bool = False
    ) -> RegistryChange:
        """Registers a model at ``HOST:PORT``; an intentional disable stays in force unless ``force`` is given."""
        body = {"endpoint": endpoint, "namespace": namespace, "force": force}
        return _change(self._ask("PUT", _model(environment, model_name), body))

    def enable(self, environment: str, model_name: str) -> RegistryChange:
        """Puts a model into traffic; the answer tells who had disabled it and why."""
        return _change(self._ask("POST", _model(environment, model_name) + "/enable"))

    def disable(self, environment: str, model_name: str, reason: str = "", owner: str = "") -> RegistryChange:
        """Takes a model out of traffic; with a reason it stays out until somebody enables it."""
        body = {"reason": reason, "owner": owner}
        return _change(self._ask("POST", _model(environment, model_name) + "/disable", body))

    def clear_cache(self, environment: str, model_name: str) -> bool:
        """Deletes the one cached entry; whether it was there.

        Raises:
            OperationFailed: Redis does not answer.
        """
        return self._ask("DELETE", f"/v1/registry/cache{_names(environment, model_name)}").get("cache") == "cleared"

    def set_stale_cache(self, enabled: bool) -> None:
        """Switches the stale-cache fault: while it is on, changes leave the cache alone."""
        self._ask("PUT", "/v1/registry/faults/stale-cache", {"enabled": enabled})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return _checked(self._call(method, path, body), self._base_url)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        return call(
            method,
            self._base_url + path,
            body=body,
            headers=self._headers,
            timeout_seconds=self._timeout_seconds,
        )


def _names(environment: str, model_name: str) -> str:
    return f"/{quote(environment, safe='')}/{quote(model_name, safe='')}"


def _model(environment: str, model_name: str) -> str:
    return "/v1/registry/models" + _names(environment, model_name)


def _change(answer: dict[str, Any]) -> RegistryChange:
    previous = answer.get("previous") or {}
    return RegistryChange(
        entry=RegistryEntry.from_json(answer),
        previous_status=previous.get("status") or "",
        previous_reason=previous.get("reason"),
        previous_owner=previous.get("owner"),
        cache=answer.get("cache", "none"),
    )


def _checked(answer: Answer, where: str) -> dict[str, Any]:
    if answer.status < 300:
        return answer.json()
    body = answer.json()
    problem = str(body.get("error") or f"answered {answer.status}")
    if answer.status in {401, 403}:
        raise InputError("refused the token", where=where, remedy="use the token of the registry")
    if answer.status == 400:
        raise InputError(problem, where=where)
    if body.get("code") == "DATABASE_UNAVAILABLE":
        raise EnvironmentUnusable(problem, where=where)
    raise OperationFailed(problem, where=where)
