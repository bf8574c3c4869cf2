"""YAML with the lines of its keys, so that a complaint about a value can name the line it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clients.errors import InputError

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML (or JSON) file.

    Attributes:
        data: its content as plain Python values.
        lines: the line of every value.
        repeated: keys that stand twice in one mapping, and the line of the second one.
    """

    path: Path
    data: Any
    lines: dict[Place, int]
    repeated: tuple[tuple[str, int], ...]

    def line(self, *place: str | int) -> int:
        """The line of a value; of the nearest one around it when it is not there."""
        return next((self.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self.lines), 1)


def read_yaml(path: Path) -> YamlFile:
    """Read a file. Raises InputError that names the line."""
    try:
        text = path.read_text()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"this is no YAML: {error.problem}", where=f"{path}:{line}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"this is no YAML: {error}", where=f"{path}:1") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    lines: dict[Place, int] = {}
    repeated: list[tuple[str, int]] = []
    if root is not None:
        for place, line, again in _walk(root, ()):
            lines[place] = line
            if again:
                repeated.append((str(place[-1]), line))
    return YamlFile(path, data, lines, tuple(repeated))


def _walk(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int, bool]]:
    """Place, line, and whether its key stood there before, of a node and all below it."""
    yield place, node.start_mark.line + 1, False
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = (*place, str(key.value))
            yield from _walk(value, below)
            yield below, key.start_mark.line + 1, str(key.value) in seen
            seen.add(str(key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index))
