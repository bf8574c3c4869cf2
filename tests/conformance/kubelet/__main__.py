"""Replay recordings of a real kubelet and print what came of it: ``python -m tests.conformance.kubelet``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from tests.conformance.kubelet import Result, recording, replay_all

_COLUMNS = "{:<28} {:>8} {:>8} {:>10} {:>12}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay, print a table with a total as its last line; 1 when something differs, else 0."""
    parser = argparse.ArgumentParser(prog="tests.conformance.kubelet", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a recording, or how it begins")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference")
    given = parser.parse_args(arguments)
    found = recording.files(recording.folder())
    chosen = [path for path in found if not given.only or path.name.startswith(tuple(given.only))]
    if not chosen:
        print(f"no recording in {recording.folder()}", file=sys.stderr)
        return 2
    results = replay_all(chosen)
    if given.verbose:
        _details(results)
    _table(results)
    return 1 if any(result.different or result.details for result in results) else 0


def _details(results: Iterable[Result]) -> None:
    for result in results:
        print(f"== {result.recording}")
        for line in result.details:
            print(f"   {line}")
        for reason, count in result.reasons.items():
            print(f"   {count} unsupported: {reason}")


def _table(results: Sequence[Result]) -> None:
    print(_COLUMNS.format("recording", "entries", "equal", "different", "unsupported"))
    rows = [(r.recording, r.total, r.equal, r.different, r.unsupported) for r in results]
    for row in rows:
        print(_COLUMNS.format(*row))
    print(_COLUMNS.format("total", *(sum(int(row[n]) for row in rows) for n in range(1, 5))))


if __name__ == "__main__":
    sys.exit(main())
