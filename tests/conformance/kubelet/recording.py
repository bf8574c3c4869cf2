"""Recordings of a real kubelet: what was applied, and what a watch then saw."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.embedded.resources import Object

SHIPPED = Path(__file__).resolve().parents[1] / "recordings"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a timeline.

    Attributes:
        t: seconds since the manifest was applied.
        resource: plural name such as ``pods``, or ``action`` for a note about what was done.
        type: ``ADDED``, ``MODIFIED``, ``DELETED``, ``LIST`` or ``NOTE``.
    """

    t: float
    resource: str
    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, as its file has it; keys beyond these are in ``extra``."""

    name: str
    namespace: str
    manifest: Sequence[Object]
    timeline: Sequence[Entry]
    extra: Mapping[str, Any]

    @classmethod
    def load(cls, source: Path | str | Mapping[str, Any]) -> Recording:
        """Read ``.json``, ``.json.gz`` or the content itself. Raises OSError, ValueError and KeyError."""
        content = dict(source) if isinstance(source, Mapping) else _read(Path(source))
        return cls(
            name=str(content.pop("name")),
            namespace=str(content.pop("namespace")),
            manifest=content.pop("manifest"),
            timeline=[Entry(e["t"], e["resource"], e["type"], e["object"]) for e in content.pop("timeline")],
            extra=content,
        )


def folder() -> Path:
    """Where the recordings are: ``CONFORMANCE_RECORDINGS``, or those that are shipped."""
    return Path(os.environ.get("CONFORMANCE_RECORDINGS") or SHIPPED) / "kubelet"


def files(place: Path) -> list[Path]:
    """The recordings of a folder, by name."""
    return sorted(path for path in place.iterdir() if path.name.endswith((".json", ".json.gz")))


def _read(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a recording")
    return content
