"""The table of the replay suite, on the terminal and in the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.conformance.suite import Row

BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
_COLUMNS = ("exchanges", "equal", "different", "unsupported")


def table(rows: Sequence[Row]) -> list[str]:
    """Lines for the terminal."""
    head = f"{'recording':<28}" + "".join(f"{name:>13}" for name in _COLUMNS)
    return [head, *(f"{row.recording:<28}" + "".join(f"{n:>13}" for n in _numbers(row)) for row in rows)]


def total(rows: Sequence[Row]) -> str:
    """The last line."""
    exchanges, equal, different, unsupported = (sum(column) for column in zip(*map(_numbers, rows), strict=True))
    share = 100 * equal / exchanges if exchanges else 0.0
    counts = f"{equal} equal, {different} different, {unsupported} unsupported"
    return f"total {exchanges} exchanges: {counts} ({share:.1f} % equal)"


def write_markdown(path: Path, rows: Sequence[Row]) -> None:
    """Replace what stands between the markers of a Markdown file. Raises ValueError when they are missing."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: the markers {BEGIN} and {END} are missing")
    path.write_text(f"{before}{BEGIN}\n{markdown(rows)}\n{END}{after}")


def markdown(rows: Sequence[Row]) -> str:
    """The table for the README."""
    lines = [f"| recording | {' | '.join(_COLUMNS)} |", "|---|" + "---:|" * len(_COLUMNS)]
    lines += [f"| {row.recording} | {' | '.join(map(str, _numbers(row)))} |" for row in rows]
    return "\n".join([*lines, "", total(rows)])


def _numbers(row: Row) -> tuple[int, int, int, int]:
    return row.exchanges, row.equal, row.different, row.unsupported
