"""Steps about the failure: its injection, and the proof that it had its effect."""

from __future__ import annotations

from typing import Any

from pytest_bdd import parsers, then, when

from gameday.evidence import count_at
from gameday.scenario import NothingProven, ScenarioRun


@when(parsers.parse('the experiment "{experiment}" injects its failure'))
def inject(run: ScenarioRun, experiment: str) -> None:
    """Run the experiment's method. Without its proof that the fault had an effect the verdict is INVALID."""
    run.inject(experiment)


@then(parsers.re(r'at least (?P<number>\d+) pods? (?:is|are) terminated with reason "(?P<reason>\w+)"'))
def pods_terminated(run: ScenarioRun, number: str, reason: str) -> None:
    """So many pods have a container that ended for this reason, as their status says; otherwise INVALID."""
    hit = [pod["metadata"]["name"] for pod in run.day.observer.pods() if reason in _termination_reasons(pod)]
    run.hit_pods = hit
    if len(hit) < int(number):
        raise NothingProven(f"{len(hit)} pods were terminated with reason {reason}, expected {number}", where=run.name)


@then(parsers.parse("at least {percent:d} % of the pods stay healthy"))
def pods_stay_healthy(run: ScenarioRun, percent: int) -> None:
    """The failure is a partial one: this share of the wanted pods is Ready now; otherwise INVALID."""
    count = count_at(run.day.observer.counts, float("inf"))
    share = count.healthy_share if count else None
    if share is None or share * 100 < percent:
        raise NothingProven(f"healthy share is {share}, the scenario needs {percent} %", where=run.name)


@then("requests are refused because the model is disabled")
def requests_are_refused(run: ScenarioRun) -> None:
    """A client of the load was refused since the fault took effect; otherwise the verdict is INVALID."""
    start = run.marks["effect_seen"]

    def refused() -> bool:
        return any(sample.outcome == "refused" for sample in run.day.load.since(start))

    if not run.day.load.wait_until(refused, timeout_seconds=10):
        raise NothingProven("no client was refused", where=run.name)


def _termination_reasons(pod: dict[str, Any]) -> set[str]:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    states = [status.get(key) or {} for status in statuses for key in ("state", "lastState")]
    return {str((state.get("terminated") or {}).get("reason", "")) for state in states}
