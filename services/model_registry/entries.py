"""Registry entries and the rules that change them; pure, so that every transport obeys the same rules.

An intentional disable is one that carries a reason. Registering a model again updates where it is served and
does not put it back into traffic; only ``enable`` does, and it tells who had disabled it and why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from clients.errors import InputError

Status = Literal["pending", "deploying", "ready", "degraded", "failed", "disabled"]
Environment = Literal["development", "staging", "production"]

STATUSES: tuple[Status, ...] = get_args(Status)
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
NAME_LIMIT = 253


@dataclass(frozen=True, slots=True)
class Entry:
    """One model in one environment. ``id`` is 0 until the entry is stored. Times are UTC."""

    model_name: str
    environment: str
    endpoint: str
    namespace: str
    status: Status
    created_at: datetime
    updated_at: datetime
    reason: str | None = None
    owner: str | None = None
    last_health: datetime | None = None
    id: int = 0

    @property
    def disabled_on_purpose(self) -> bool:
        """Somebody disabled it and said why."""
        return self.status == "disabled" and bool(self.reason)

    def as_json(self) -> dict[str, Any]:
        """The entry as the HTTP interface, the cache and the CLI show it; times in ISO 8601."""
        fields = asdict(self)
        for name in ("created_at", "updated_at", "last_health"):
            fields[name] = fields[name].isoformat() if fields[name] else None
        return {name: fields[name] for name in JSON_FIELDS}


JSON_FIELDS = (
    "id",
    "model_name",
    "endpoint",
    "status",
    "environment",
    "namespace",
    "reason",
    "owner",
    "last_health",
    "created_at",
    "updated_at",
)


def now() -> datetime:
    """The wall-clock time in UTC, as stored."""
    return datetime.now(UTC)


def registered(
    current: Entry | None,
    model_name: str,
    environment: str,
    endpoint: str,
    namespace: str,
    *,
    at: datetime,
    force: bool,
) -> Entry:
    """The entry after a registration: ready, unless somebody disabled it on purpose and ``force`` is not given."""
    if current is None:
        return Entry(model_name, environment, endpoint, namespace, "ready", created_at=at, updated_at=at)
    moved = replace(current, endpoint=endpoint, namespace=namespace, updated_at=at)
    return moved if current.disabled_on_purpose and not force else enabled(moved, at=at)


def enabled(current: Entry, *, at: datetime) -> Entry:
    """The entry after an enable: ready, without reason and owner."""
    return replace(current, status="ready", reason=None, owner=None, updated_at=at)


def disabled(current: Entry, reason: str | None, owner: str | None, *, at: datetime) -> Entry:
    """The entry after a disable. One without a reason never wipes out the reason of an earlier one."""
    if current.disabled_on_purpose and not reason:
        return replace(current, updated_at=at)
    return replace(current, status="disabled", reason=reason or None, owner=owner or None, updated_at=at)


def check_names(model_name: str, environment: str) -> None:
    """Raises InputError unless both can name an entry."""
    printable = model_name.isprintable() and not any(character.isspace() for character in model_name)
    if not model_name or len(model_name) > NAME_LIMIT or not printable:
        raise InputError(f"{model_name!r} is no model name", where="model name", remedy="use letters without spaces")
    check_environment(environment)


def check_environment(environment: str) -> None:
    """Raises InputError unless it is one of the environments."""
    if environment not in ENVIRONMENTS:
        raise InputError(
            f"{environment!r} is no environment",
            where="environment",
            remedy=f"use one of {', '.join(ENVIRONMENTS)}",
        )


def check_status(status: str) -> None:
    """Raises InputError unless it is one of the states."""
    if status not in STATUSES:
        raise InputError(f"{status!r} is no status", where="status", remedy=f"use one of {', '.join(STATUSES)}")


def check_endpoint(endpoint: str) -> None:
    """Raises InputError unless it is ``HOST:PORT``."""
    host, _, port = endpoint.rpartition(":")
    bad_host = not host or any(character in "/@? #" or character.isspace() for character in host)
    if bad_host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InputError(
            f"{endpoint!r} is no endpoint",
            where="endpoint",
            remedy="use HOST:PORT, for example model.system.svc:8000",
        )
