"""The embedded cluster: everything in one Python process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cluster.providers.process import ProcessProvider


@dataclass(frozen=True, slots=True)
class EmbeddedProvider(ProcessProvider):
    """Needs nothing but this package."""

    kind: ClassVar[str] = "embedded"
    module: ClassVar[str] = "cluster.embedded.server"
    start_seconds: ClassVar[float] = 20.0
    persistent: ClassVar[bool] = True
