"""What the linter has to say."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clients.errors import GamedayError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem at one place.

    Attributes:
        suggestion: what to do about it.
    """

    path: str
    line: int
    what: str
    suggestion: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}" + (f"; {self.suggestion}" if self.suggestion else "")


def shown(path: Path) -> str:
    """A path as a person would type it: relative to the current folder where it lies below it."""
    absolute = path.resolve()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)


def from_error(error: GamedayError, path: Path) -> Problem:
    """An error of reading a file as a problem of it; the error names the line behind the path where it knows it."""
    line = error.where.rpartition(":")[2]
    return Problem(shown(path), int(line) if line.isdigit() else 1, error.problem, error.remedy)


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A suggestion of the nearest known word; another text when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else otherwise
