"""The providers of clusters."""

from __future__ import annotations

from pathlib import Path

from clients.errors import InputError
from cluster.providers.embedded import EmbeddedProvider
from cluster.providers.envtest import EnvtestProvider
from cluster.providers.process import ProcessProvider

_KINDS: dict[str, type[ProcessProvider]] = {each.kind: each for each in (EmbeddedProvider, EnvtestProvider)}


def provider_of(kind: str, *, image_map: Path | None, config: Path | None, port: int = 0) -> ProcessProvider:
    """The provider of that name. Raises InputError."""
    if kind not in _KINDS:
        raise InputError(f"there is no provider {kind!r}", where="--cluster", remedy=f"choose {' or '.join(_KINDS)}")
    if port and kind != EmbeddedProvider.kind:
        raise InputError(f"the provider {kind} chooses its ports itself", where="--port", remedy="leave it out")
    return _KINDS[kind](image_map, config, port)
