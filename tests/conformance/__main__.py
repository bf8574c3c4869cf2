"""``python -m tests.conformance``: replay all recordings, print the table, exit 1 on any difference."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.conformance.known import worse
from tests.conformance.report import table, total, write_markdown
from tests.conformance.suite import Row, run_api, run_kubelet


def main() -> None:
    """Run, print, exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a recording, or how its name begins")
    parser.add_argument("--kubeconfig", default="", help="a cluster to replay api recordings against")
    parser.add_argument("--jobs", type=int, default=4, help="how many api recordings at a time")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--ratchet", action="store_true", help="fail only on more differences than known.json has")
    parser.add_argument("--readme", type=Path, help="also write the table into this file, between its markers")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference whole")
    given = parser.parse_args()
    rows = run_api(given.only, given.kubeconfig, given.jobs)
    if not given.kubeconfig:
        rows += run_kubelet(given.only)
    if given.json:
        given.json.write_text(json.dumps([row.counts() for row in rows], indent=1) + "\n")
    if given.readme:
        write_markdown(given.readme, rows)
    code = report(rows, verbose=given.verbose)
    sys.exit((1 if worse(rows) or not rows else 0) if given.ratchet else code)


def report(rows: list[Row], *, verbose: bool) -> int:
    """Print differences, reasons and the table; returns the exit code."""
    for row in rows:
        for detail in row.details:
            print(f"{row.recording} {detail if verbose else detail[:600]}")
    print("\n".join(table(rows)))
    reasons: dict[str, int] = {}
    for row in rows:
        for reason, count in row.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    for reason, count in sorted(reasons.items()):
        print(f"unsupported {count}: {reason}")
    for line in worse(rows):
        print(f"worse than known: {line}")
    print(total(rows))
    return 1 if any(row.different for row in rows) or not rows else 0


if __name__ == "__main__":
    main()
