"""The ids of what the runbook demands: what the tags of features and the marks of tests may name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.errors import InputError
from gameday.extensions import ROOT
from gameday.yaml_lines import Place, YamlFile, read_yaml

IDS = ROOT / "docs" / "runbooks" / "ids.yaml"
PREFIXES = ("runbook", "beyond")
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class RunbookId:
    """One demand of the runbook.

    Attributes:
        parts: what it consists of; it is covered when all of them are. None: it is covered by being claimed.
    """

    id: str
    title: str
    parts: tuple[RunbookId, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, RunbookId]]:
        """It and all its parts, in order, each with its depth."""
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)


def load_ids(path: Path = IDS) -> tuple[RunbookId, ...]:
    """Read a list of ids. Raises InputError that names file and line."""
    file = read_yaml(path)
    if not isinstance(file.data, dict) or not isinstance(file.data.get("ids"), dict):
        raise InputError("there is no mapping 'ids'", where=f"{path}:1", remedy="see docs/runbooks/ids.yaml")
    if file.repeated:
        key, line = file.repeated[0]
        raise InputError(f"{key!r} stands here twice", where=f"{path}:{line}", remedy="give it another name")
    found = _parts(file, ("ids",), file.data["ids"])
    seen: set[str] = set()
    for top in found:
        for _, one in top.walk():
            if one.id in seen:
                raise InputError(f"the id {one.id!r} is listed twice", where=str(path), remedy="give it another name")
            seen.add(one.id)
    return found


def known_ids() -> dict[str, RunbookId]:
    """Every id by its name: ours, and those that ``docs/runbooks/ids.yaml`` of the current folder adds."""
    local = Path.cwd() / "docs" / "runbooks" / "ids.yaml"
    lists = [load_ids()]
    if local.is_file() and local.resolve() != IDS:
        lists.append(load_ids(local))
    return {one.id: one for tops in lists for top in tops for _, one in top.walk()}


def claimed_id(tag: str) -> str | None:
    """The id that a tag claims; None for a tag of another kind. ``beyond:x`` is short for ``runbook:beyond-x``."""
    prefix, colon, rest = tag.partition(":")
    if not colon or prefix not in PREFIXES:
        return None
    return f"beyond-{rest}" if prefix == "beyond" else rest


def _parts(file: YamlFile, place: Place, data: dict[str, Any]) -> tuple[RunbookId, ...]:
    return tuple(_one(file, (*place, key), key, value) for key, value in data.items())


def _one(file: YamlFile, place: Place, key: str, value: Any) -> RunbookId:
    where = f"{file.path}:{file.line(*place)}"
    if not isinstance(key, str) or not _ID.fullmatch(key):
        raise InputError(f"{key!r} is no id", where=where, remedy="use small letters, digits and single dashes")
    parts = value.get("parts", {}) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(value.get("title"), str) or not isinstance(parts, dict):
        raise InputError(f"{key!r} needs a title (in quotes), and may have parts", where=where)
    unknown = sorted(set(value) - {"title", "parts"})
    if unknown:
        raise InputError(
            f"{key!r} has {unknown[0]!r}, which means nothing here", where=where, remedy="put the title in quotes"
        )
    return RunbookId(key, value["title"], _parts(file, (*place, "parts"), parts))
