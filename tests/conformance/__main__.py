"""``python -m tests.conformance``: replay all recordings, print the table, exit 1 on any difference."""

from __future__ import annotations

import argparse
import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.conformance.api.replay import Result, replay
from tests.conformance.recordings import Flow, flows


def main() -> None:
    """Run, print, exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="part of a recording's name; may be repeated")
    parser.add_argument("--kubeconfig", default="", help="a cluster to replay against instead of embedded ones")
    parser.add_argument("--jobs", type=int, default=4, help="how many recordings at a time")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference whole")
    given = parser.parse_args()
    chosen = [flow for flow in flows("api") if not given.only or any(part in flow.name for part in given.only)]
    jobs = 1 if given.kubeconfig else given.jobs
    with ProcessPoolExecutor(jobs) as pool:
        results = [result for results in pool.map(_run, chosen, [given.kubeconfig] * len(chosen)) for result in results]
    sys.exit(report(results, verbose=given.verbose))


def _run(flow: Flow, kubeconfig: str) -> list[Result]:
    return asyncio.run(replay(flow, kubeconfig))


def report(results: list[Result], *, verbose: bool) -> int:
    """Print the table and the differences; returns the exit code."""
    for result in results:
        for detail in result.details:
            print(f"{result.recording} {detail if verbose else detail[:600]}")
    print(f"{'recording':<28}{'exchanges':>10}{'equal':>8}{'different':>11}{'unsupported':>13}")
    for r in results:
        print(f"{r.recording:<28}{r.exchanges:>10}{r.equal:>8}{r.different:>11}{r.unsupported:>13}")
    reasons: dict[str, int] = {}
    for r in results:
        for reason, count in r.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    for reason, count in sorted(reasons.items()):
        print(f"unsupported {count}: {reason}")
    total, equal = sum(r.exchanges for r in results), sum(r.equal for r in results)
    different, unsupported = sum(r.different for r in results), sum(r.unsupported for r in results)
    share = 100 * equal / total if total else 0.0
    print(
        f"total {total} exchanges: {equal} equal, {different} different, {unsupported} unsupported ({share:.1f} % equal)"
    )
    return 1 if different or not total else 0


if __name__ == "__main__":
    main()
