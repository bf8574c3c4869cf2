"""Plays a page of the documentation: writes its files, applies its changes, runs its commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(?P<language>\w+)(?: file=(?P<file>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    file: str
    body: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks in order."""
    return [Block(one["language"], one["file"] or "", one["body"]) for one in _FENCE.finditer(page.read_text())]


def play(page: Path, folder: Path, command: Callable[[str], None]) -> int:
    """Do what a page says, in a folder; returns how many commands were run."""
    commands = 0
    for block in blocks(page):
        if block.language == "sh":
            for line in block.body.strip().splitlines():
                command(line)
                commands += 1
        elif block.language == "diff":
            change(folder / block.file, block.body)
        elif block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body)
    return commands


def change(path: Path, diff: str) -> None:
    """Apply one hunk: its lines must stand in the file exactly once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{path} does not hold, once:\n{before}"
    path.write_text(text.replace(before, after))
