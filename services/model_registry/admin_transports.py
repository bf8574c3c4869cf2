"""How admin-cli reaches the registry: over HTTP, or straight to the database.

Over HTTP the service clears the cached entry with each change. Straight to the database nobody else knows of
the change, so the CLI clears it itself when it is told where Redis is, and says so when it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from clients.errors import InputError
from clients.registry import RegistryChange, RegistryClient, RegistryEntry

TIMEOUT_SECONDS = 10.0
SETTINGS = ("ADMIN_CLI_REGISTRY_URL", "ADMIN_CLI_DATABASE_URL", "DATABASE_URL")


class Transport(Protocol):
    """What the commands need of the registry."""

    def list(
        self, environment: str | None = None, status: str | None = None, model_name: str | None = None
    ) -> list[RegistryEntry]:
        """The entries that match what is given."""

    def register(
        self, environment: str, model_name: str, endpoint: str, namespace: str = "system", *, force: bool = False
    ) -> RegistryChange:
        """Registers a model."""

    def enable(self, environment: str, model_name: str) -> RegistryChange:
        """Puts a model into traffic."""

    def disable(self, environment: str, model_name: str, reason: str = "", owner: str = "") -> RegistryChange:
        """Takes a model out of traffic."""


def open_transport(environment: Mapping[str, str], owner: str) -> Transport:
    """The transport that the environment names; HTTP wins over the database.

    Raises:
        InputError: it names none. There is no default: a command for production must not change another database.
        EnvironmentUnusable: the database does not answer.
    """
    setting = _setting(environment)
    if setting == "ADMIN_CLI_REGISTRY_URL":
        token = environment.get("ADMIN_CLI_TOKEN", "")
        return RegistryClient(environment[setting], token, owner=owner, timeout_seconds=TIMEOUT_SECONDS)
    return _open_database(environment[setting], setting, environment.get("ADMIN_CLI_REDIS_URL", ""))


def transport_name(environment: Mapping[str, str]) -> str:
    """The registry that the environment names, without the secrets of a database URL.

    Raises:
        InputError: it names none.
    """
    setting = _setting(environment)
    return environment[setting] if setting == "ADMIN_CLI_REGISTRY_URL" else f"the database in {setting}"


def _setting(environment: Mapping[str, str]) -> str:
    for setting in SETTINGS:
        if environment.get(setting, ""):
            return setting
    raise InputError(
        "no registry is named",
        where="environment",
        remedy="set ADMIN_CLI_REGISTRY_URL and ADMIN_CLI_TOKEN, or ADMIN_CLI_DATABASE_URL",
    )


def _open_database(url: str, setting: str, redis_url: str) -> Transport:
    from services.model_registry.admin_database import DatabaseTransport
    from services.model_registry.database import open_engine
    from services.model_registry.store import RegistryStore

    store = RegistryStore(open_engine(url, setting=setting))
    store.create_schema()
    return DatabaseTransport(store, redis_url)
