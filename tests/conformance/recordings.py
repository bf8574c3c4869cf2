"""Recordings of a real cluster: files of one folder, read as flows."""

from __future__ import annotations

import gzip
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("recordings")
"""The recordings that come with the project."""

_PART = re.compile(r"-(\d+)$")


def folder() -> Path:
    """Where the recordings are: ``$CONFORMANCE_RECORDINGS`` (with ``api/`` and ``kubelet/``), or the project's."""
    return Path(os.environ.get("CONFORMANCE_RECORDINGS") or FOLDER)


def stem(path: Path) -> str:
    """The name of a recording: its file's name without ``.json`` and ``.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".json")


def load(path: Path) -> dict[str, Any]:
    """The content of a recording, packed or not."""
    raw = path.read_bytes()
    content: dict[str, Any] = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return content


@dataclass(frozen=True, slots=True)
class Flow:
    """Recordings that follow each other on one cluster: the parts of one, or a single one."""

    name: str
    paths: tuple[Path, ...]

    def parts(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and content of each part, in order."""
        return [(stem(path), load(path)) for path in self.paths]


def flows(kind: str) -> list[Flow]:
    """The flows of a kind (``api`` or ``kubelet``), by name."""
    files = sorted(path for path in (folder() / kind).glob("*.json*") if path.suffix in (".json", ".gz"))
    grouped: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        part = _PART.search(stem(path)) if kind == "api" and '"part"' in _head(path) else None
        name = stem(path)[: part.start()] if part else stem(path)
        grouped.setdefault(name, []).append((int(part[1]) if part else 0, path))
    return [Flow(name, tuple(path for _, path in sorted(parts))) for name, parts in grouped.items()]


def _head(path: Path) -> str:
    return json.dumps([key for key in load(path) if key == "part"])
