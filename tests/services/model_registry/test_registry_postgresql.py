"""The registry on a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from clients.errors import EnvironmentUnusable
from services.model_registry.database import open_engine
from services.model_registry.store import RegistryStore

PG_CTL = shutil.which("pg_ctl")
SERVER_USER = "postgres"


def may_run() -> bool:
    """PostgreSQL refuses to run as root; then it needs its own user."""
    if PG_CTL is None or os.geteuid() != 0:
        return PG_CTL is not None
    return any(entry.pw_name == SERVER_USER for entry in pwd.getpwall())


pytestmark = pytest.mark.skipif(not may_run(), reason="install postgresql (pg_ctl and initdb on PATH) to run this")


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    assert PG_CTL is not None
    programs = Path(PG_CTL).resolve().parent
    user = SERVER_USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    options = f"-c listen_addresses='' -c fsync=off -c unix_socket_directories={folder}"

    def run(*arguments: str | Path) -> None:
        subprocess.run(
            arguments, user=user, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60, env={"LC_ALL": "C"}
        )

    run(programs / "initdb", "-D", data, "-A", "trust", "-U", "registry", "--no-sync")
    run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql://registry@/postgres?host={folder}"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # the path of a UNIX socket must be short
    try:
        with postgresql(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


def test_states_survive_on_postgresql(url: str) -> None:
    store = RegistryStore(open_engine(url))
    store.create_schema()
    store.create_schema()
    before, after = store.register("production", "m", "a:1", "system")
    assert (before, after.status, after.id > 0) == (None, "ready", True)
    assert store.disable("production", "m", "why", "me")[1].disabled_on_purpose
    assert store.register("production", "m", "b:1", "system")[1].status == "disabled"
    previous, enabled = store.enable("production", "m")
    assert (previous.reason, enabled.reason, enabled.endpoint) == ("why", None, "b:1")
    assert store.get("production", "m") == enabled
    assert enabled.updated_at.utcoffset() is not None
    store.close()


def test_two_stores_register_and_create_the_schema_at_once(url: str) -> None:
    stores = [RegistryStore(open_engine(url)) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda store: store.create_schema(), stores * 4))
        list(pool.map(lambda n: stores[n % 2].register("staging", f"m{n // 4}", "a:1", "system"), range(40)))
    assert len(stores[0].list("staging")) == 10
    for store in stores:
        store.close()


def test_a_database_that_does_not_answer_is_named() -> None:
    store = RegistryStore(open_engine("postgresql://registry@127.0.0.1:1/postgres"))
    with pytest.raises(EnvironmentUnusable, match="registry database"):
        store.list()
    store.close()
