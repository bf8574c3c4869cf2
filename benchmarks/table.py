"""Prints outcomes as a Markdown pipe table, with notes below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.result import Outcome, Result

HEADINGS = (
    "Benchmark",
    "Measured (median)",
    "Runs (min–max)",
    "Target",
    "Verdict",
    "Of target",
    "Of reference",
    "Load average",
    "Reproduce",
)


def table(outcomes: Iterable[Outcome]) -> str:
    """One row for each result."""
    rows = [row(outcome, result) for outcome in outcomes for result in outcome.results]
    return pipe_table(HEADINGS, rows)


def row(outcome: Outcome, result: Result) -> tuple[str, ...]:
    """The cells of a result, in the order of `HEADINGS`."""
    return (
        result.name,
        f"{number(result.value, apart_from=result.target.value if result.target else None)} {result.unit}",
        f"{len(result.runs)} ({number(min(result.runs))}–{number(max(result.runs))})",
        f"{result.target.kind} {result.target.value:g} {result.unit}" if result.target else "–",
        verdict(result.met),
        ratio(result.ratio_to_target),
        " ".join(part for part in (ratio(result.ratio_to_reference), result.reference_name) if part),
        f"{outcome.load_before:.1f} → {outcome.load_after:.1f}",
        f"`python -m benchmarks {outcome.benchmark.name}`",
    )


def notes(outcomes: Iterable[Outcome]) -> str:
    """How each benchmark measured and what else it found."""
    return "\n".join(line for outcome in outcomes for line in _notes_of(outcome))


def _notes_of(outcome: Outcome) -> list[str]:
    lines = [f"- **{outcome.benchmark.name}**: {outcome.benchmark.about}"]
    lines += [f"  - {result.name}: {detail}" for result in outcome.results for detail in result.details]
    return lines


def pipe_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are also aligned as plain text."""
    cells = [[text.replace("|", "\\|") for text in line] for line in (headings, *rows)]
    widths = [max(3, *(len(line[column]) for line in cells)) for column in range(len(headings))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def verdict(met: bool | None) -> str:
    """A word for whether a target is reached."""
    return "–" if met is None else "met" if met else "MISSED"


def ratio(value: float | None) -> str:
    """A ratio with two digits, empty when there is none."""
    return "" if value is None else f"{value:.2f}×"


def number(value: float, *, apart_from: float | None = None) -> str:
    """A number with about three significant digits, never in exponents; whole numbers as they are.

    It gets more digits (up to six) where rounding would show it as `apart_from`: a miss must not look like a hit.
    """
    if value == int(value):
        return f"{value:.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    while digits < 6 and float(f"{value:.{digits}f}") == apart_from != value:
        digits += 1
    return f"{value:.{digits}f}"
