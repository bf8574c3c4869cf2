"""The database behind the registry: SQLite by default, PostgreSQL by URL.

Every change is one transaction that holds the write lock from its first read, so that services and CLIs in
several processes cannot overwrite each other's decisions.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, RowMapping
from sqlalchemy.schema import CreateIndex, CreateTable

from clients.errors import EnvironmentUnusable, InputError, OperationFailed
from services.model_registry import entries
from services.model_registry.entries import ENVIRONMENTS, STATUSES, Entry, Status

ZERO_ORGANIZATION = uuid.UUID(int=0)
SCHEMA_LOCK = 7403182


class NoSuchEntry(OperationFailed):
    """The model is not registered in that environment."""


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A time with zone: what SQLite stores without one is UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if value else None


metadata = sa.MetaData()
model_registry_entries = sa.Table(
    "model_registry_entries",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("model_id", sa.Uuid(), nullable=False, unique=True, default=uuid.uuid4),
    sa.Column("organization_id", sa.Uuid(), nullable=False, default=ZERO_ORGANIZATION),
    sa.Column("model_name", sa.Text(), nullable=False),
    sa.Column("revision", sa.Integer(), nullable=False, server_default="1"),
    sa.Column("deployment_target", sa.Text(), nullable=False, server_default="self_hosted"),
    sa.Column("cost_per_1k_tokens", sa.Numeric(10, 4), nullable=False, server_default="0"),
    sa.Column("metadata", sa.JSON(), nullable=False, server_default="{}"),
    sa.Column("created_at", UtcTime(), nullable=False, default=entries.now),
    sa.Column("updated_at", UtcTime(), nullable=False, default=entries.now),
    sa.Column("deployment_endpoint", sa.Text()),
    sa.Column("deployment_status", sa.Text()),
    sa.Column("deployment_environment", sa.Text()),
    sa.Column("deployment_namespace", sa.Text()),
    sa.Column("last_health_check_at", UtcTime()),
    sa.Column("disabled_reason", sa.Text()),
    sa.Column("disabled_owner", sa.Text()),
    sa.CheckConstraint("deployment_target in ('managed', 'self_hosted')"),
    sa.CheckConstraint(f"deployment_status in {STATUSES}"),
    sa.CheckConstraint(f"deployment_environment in {ENVIRONMENTS}"),
    sa.UniqueConstraint("model_name", "deployment_environment", name="model_registry_entries_unique_deployment"),
)
_columns = model_registry_entries.c
sa.Index("idx_model_registry_environment", _columns.deployment_environment)
sa.Index("idx_model_registry_org", _columns.organization_id)
sa.Index(
    "idx_model_registry_deployment_status",
    _columns.deployment_status,
    _columns.model_name,
    sqlite_where=_columns.deployment_status == "ready",
    postgresql_where=_columns.deployment_status == "ready",
)


class RegistryStore:
    """Registry entries in a database. Its methods block; safe to call from several threads.

    All methods raise EnvironmentUnusable when the database does not answer.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(registry_write=True)

    def create_schema(self) -> None:
        """Creates what is missing; does nothing when it is there, also when two processes do it at once.

        Raises:
            InputError: the table exists and lacks columns that the registry needs.
        """
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            connection.execute(CreateTable(model_registry_entries, if_not_exists=True))
            self._check_columns(connection)
            for index in sorted(model_registry_entries.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index, if_not_exists=True))

    def list(
        self, environment: str | None = None, status: str | None = None, model_name: str | None = None
    ) -> list[Entry]:
        """The entries that have an endpoint and match what is given, ordered by environment and model."""
        wanted = {"deployment_environment": environment, "deployment_status": status, "model_name": model_name}
        query = sa.select(model_registry_entries).where(_columns.deployment_endpoint.is_not(None))
        for column, value in wanted.items():
            if value is not None:
                query = query.where(_columns[column] == value)
        query = query.order_by(_columns.deployment_environment, _columns.model_name)
        with _explained(), self._engine.begin() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def get(self, environment: str, model_name: str) -> Entry | None:
        """The entry, or None."""
        with _explained(), self._engine.begin() as connection:
            return _read(connection, environment, model_name)

    def ping(self) -> None:
        """Returns when the database and the table answer."""
        with _explained(), self._engine.begin() as connection:
            connection.execute(sa.select(_columns.id).limit(1))

    def register(
        self, environment: str, model_name: str, endpoint: str, namespace: str, *, force: bool = False
    ) -> tuple[Entry | None, Entry]:
        """Registers a model, or says that it is served elsewhere now; returns the entry before and after."""
        return self._change(
            environment,
            model_name,
            lambda current: entries.registered(
                current, model_name, environment, endpoint, namespace, at=entries.now(), force=force
            ),
        )

    def enable(self, environment: str, model_name: str) -> tuple[Entry, Entry]:
        """Puts a model into traffic; returns the entry before and after.

        Raises:
            NoSuchEntry: it is not registered.
        """
        return self._change_existing(environment, model_name, lambda entry: entries.enabled(entry, at=entries.now()))

    def disable(
        self, environment: str, model_name: str, reason: str | None = None, owner: str | None = None
    ) -> tuple[Entry, Entry]:
        """Takes a model out of traffic; returns the entry before and after.

        Raises:
            NoSuchEntry: it is not registered.
        """
        return self._change_existing(
            environment, model_name, lambda entry: entries.disabled(entry, reason, owner, at=entries.now())
        )

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    def _change_existing(
        self, environment: str, model_name: str, change: Callable[[Entry], Entry]
    ) -> tuple[Entry, Entry]:
        def only_existing(current: Entry | None) -> Entry:
            if current is None:
                raise NoSuchEntry(
                    "model not found",
                    where=f"{environment}/{model_name}",
                    remedy="register it, or check the environment",
                )
            return change(current)

        return cast(tuple[Entry, Entry], self._change(environment, model_name, only_existing))

    def _change(
        self, environment: str, model_name: str, change: Callable[[Entry | None], Entry]
    ) -> tuple[Entry | None, Entry]:
        try:
            return self._change_once(environment, model_name, change)
        except sa.exc.IntegrityError:  # PostgreSQL has no row to lock yet when two register a model at once
            return self._change_once(environment, model_name, change)

    def _change_once(
        self, environment: str, model_name: str, change: Callable[[Entry | None], Entry]
    ) -> tuple[Entry | None, Entry]:
        with self._transaction() as connection:
            current = _read(connection, environment, model_name, lock=True)
            changed = change(current)
            _write(connection, changed)
            stored = _read(connection, environment, model_name)
            assert stored is not None
            return current, stored

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _explained(), self._writer.begin() as connection:
            yield connection

    @staticmethod
    def _check_columns(connection: Connection) -> None:
        present = {column["name"] for column in sa.inspect(connection).get_columns("model_registry_entries")}
        if missing := sorted(set(_columns.keys()) - present):
            raise InputError(
                f"lacks the columns {', '.join(missing)}",
                where="table model_registry_entries",
                remedy="add them, or use another database",
            )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DBAPIError as error:
        problem = str(error.orig).strip().splitlines()[0]
        raise EnvironmentUnusable(problem, where="registry database", remedy="check that it runs") from error
    except sa.exc.TimeoutError as error:
        raise EnvironmentUnusable("all its connections are busy", where="registry database") from error


def _read(connection: Connection, environment: str, model_name: str, *, lock: bool = False) -> Entry | None:
    query = sa.select(model_registry_entries).where(
        _columns.deployment_environment == environment, _columns.model_name == model_name
    )
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return _entry(row) if row else None


def _write(connection: Connection, entry: Entry) -> None:
    values = _row(entry)
    if entry.id:
        connection.execute(sa.update(model_registry_entries).where(_columns.id == entry.id).values(values))
    else:
        connection.execute(sa.insert(model_registry_entries).values(values))


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "model_name": entry.model_name,
        "deployment_environment": entry.environment,
        "deployment_endpoint": entry.endpoint,
        "deployment_namespace": entry.namespace,
        "deployment_status": entry.status,
        "disabled_reason": entry.reason,
        "disabled_owner": entry.owner,
        "last_health_check_at": entry.last_health,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
    }


def _entry(row: RowMapping) -> Entry:
    return Entry(
        id=row["id"],
        model_name=row["model_name"],
        environment=row["deployment_environment"] or "",
        endpoint=row["deployment_endpoint"] or "",
        namespace=row["deployment_namespace"] or "",
        status=cast(Status, row["deployment_status"] or "pending"),
        reason=row["disabled_reason"],
        owner=row["disabled_owner"],
        last_health=row["last_health_check_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
