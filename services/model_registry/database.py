"""Database URLs and engines: what makes SQLite safe between processes, and which driver PostgreSQL gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from clients.errors import EnvironmentUnusable, InputError

SQLITE_BUSY_SECONDS = 5
CONNECT_SECONDS = 5
POOL_WAIT_SECONDS = 5
POSTGRES_NAMES = frozenset({"postgres", "postgresql"})


def database_url(environment: Mapping[str, str]) -> str:
    """Where the entries are kept: ``MODEL_REGISTRY_DATABASE_URL``, or a file in ``MODEL_REGISTRY_DATA_DIR``.

    Raises:
        InputError: neither is set.
        EnvironmentUnusable: the folder cannot be created.
    """
    if url := environment.get("MODEL_REGISTRY_DATABASE_URL", ""):
        return url
    if not (folder := environment.get("MODEL_REGISTRY_DATA_DIR", "")):
        raise InputError(
            "no database is named",
            where="MODEL_REGISTRY_DATABASE_URL",
            remedy="set it, or set MODEL_REGISTRY_DATA_DIR to a folder for SQLite",
        )
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentUnusable(
            f"cannot be used: {error.strerror}", where=str(path), remedy="point MODEL_REGISTRY_DATA_DIR to a folder"
        ) from error
    return f"sqlite:///{path.resolve() / 'registry.db'}"


def open_engine(url: str, *, setting: str = "MODEL_REGISTRY_DATABASE_URL") -> Engine:
    """An engine for SQLite or PostgreSQL; nothing connects yet.

    Args:
        url: a database URL; ``postgres://`` and ``postgresql://`` use psycopg.
        setting: where the URL came from, for the error message.

    Raises:
        InputError: the URL cannot be used.
        EnvironmentUnusable: its driver is not installed.
    """
    parsed = _parsed(url, setting)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    try:
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={"connect_timeout": CONNECT_SECONDS, "client_encoding": "utf8"},
        )
    except ModuleNotFoundError as error:
        raise EnvironmentUnusable(
            f"the driver {error.name} is not installed", where=setting, remedy="install vllm-gameday[postgresql]"
        ) from error


def _parsed(url: str, setting: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise InputError("is no database URL", where=setting, remedy="use sqlite:///PATH or postgresql://...") from None
    if parsed.drivername in POSTGRES_NAMES:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise InputError(
            f"{parsed.drivername} is not supported", where=setting, remedy="use sqlite:///PATH or postgresql://..."
        )
    if parsed.get_backend_name() == "sqlite" and not parsed.database:
        raise InputError("an in-memory database cannot be shared", where=setting, remedy="use sqlite:///PATH")
    return parsed


def _sqlite(url: URL) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, pool_timeout=POOL_WAIT_SECONDS)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late to protect a read before a write
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("registry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
