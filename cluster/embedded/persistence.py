"""What of a cluster outlives its process: its objects, and what clients and objects know it by.

The file holds Secrets and the cluster's token, so only its owner may read it. It is replaced in one piece: whoever
reads it finds the state of one moment, also after a crash.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from clients.errors import EnvironmentUnusable, InputError
from cluster.embedded.resources import BY_KIND, Object
from cluster.embedded.store import Store

log = logging.getLogger(__name__)

FILE = "state.json"
FORMAT = 1
SAVE_SECONDS = 5.0
_REMEDY = "remove the file to begin with an empty cluster"


@dataclass(frozen=True, slots=True)
class Identity:
    """What clients and objects know a cluster by.

    Attributes:
        port: of the API server.
        subnet: the N of its 127.N.0.0/16.
        token: of its administrator.
        ca_pem: the certificate that its clients trust.
    """

    port: int
    subnet: int
    token: str
    ca_pem: str


@dataclass(frozen=True, slots=True)
class State:
    """A cluster as of one resourceVersion."""

    identity: Identity
    version: int
    objects: list[Object]

    def restore(self, store: Store) -> None:
        """Put the objects into an empty store. Raises InputError for one of a kind that is not served."""
        for obj in self.objects:
            resource = BY_KIND.get((str(obj.get("apiVersion")), str(obj.get("kind"))))
            if resource is None:
                raise InputError(f"a {obj.get('apiVersion')} {obj.get('kind')} is not served", where=FILE)
            store.restore(resource, obj)
        store.version = max(store.version, self.version)


def read(folder: Path) -> State | None:
    """The state that a folder keeps; None when it keeps none. Raises InputError when it cannot be used."""
    path = folder / FILE
    try:
        content: Any = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"the cluster's state cannot be read: {error}", where=str(path), remedy=_REMEDY) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise InputError(f"the cluster's state has format {found}, known is {FORMAT}", where=str(path), remedy=_REMEDY)
    try:
        return State(Identity(**content["identity"]), int(content["version"]), list(content["objects"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the cluster's state is not whole: {error!r}", where=str(path), remedy=_REMEDY) from None


def write(folder: Path, state: State) -> None:
    """Replace the state that a folder keeps. Raises OSError; then the state before is still there."""
    path = folder / FILE
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    identity = {name: getattr(state.identity, name) for name in Identity.__slots__}
    content = {"format": FORMAT, "identity": identity, "version": state.version, "objects": state.objects}
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(orjson.dumps(content))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


class Keeper:
    """Keeps a store's state in a folder.

    Args:
        folder: where.
        store: what.
        identity: goes with it.
    """

    def __init__(self, folder: Path, store: Store, identity: Identity) -> None:
        self._folder = folder
        self._store = store
        self._identity = identity
        self._kept = -1

    async def run(self, period_seconds: float = SAVE_SECONDS) -> None:
        """Write what changed, period by period, beside the event loop, until cancelled."""
        while True:
            await asyncio.sleep(period_seconds)
            if self._store.version != self._kept:
                state = self._state()
                await asyncio.to_thread(self._write, state)

    def save(self) -> None:
        """Write the state now."""
        self._write(self._state())

    def _state(self) -> State:
        """Stored objects are never changed in place, so the list alone is a copy."""
        return State(self._identity, self._store.version, list(self._store))

    def _write(self, state: State) -> None:
        try:
            write(self._folder, state)
        except OSError as error:
            log.error("the cluster's state was not written: %s", error)
        else:
            self._kept = state.version


def refused(what: str, error: Callable[[], str]) -> EnvironmentUnusable:
    """A kept cluster needs what it had."""
    return EnvironmentUnusable(
        f"the cluster had {what}, which is not free: {error()}",
        remedy="stop what uses it, or begin anew: gameday cluster down",
    )
