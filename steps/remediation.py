"""Steps about the remediation: what it found, decided and did."""

from __future__ import annotations

from pytest_bdd import parsers, then, when

from gameday.oracle import FIX_FORWARD, FIX_FORWARD_MONITORED, IMMEDIATE_ROLLBACK, ROLLBACK, matrix
from gameday.scenario import ScenarioRun

REMEDIATION_SECONDS = 120.0


@when("the remediation runs")
def remediation_runs(run: ScenarioRun) -> None:
    """Run the remediation until it says that it is done, for 120 seconds at most."""
    run.remediate(timeout_seconds=REMEDIATION_SECONDS)


@when(parsers.parse("the remediation runs for {seconds:g} seconds"))
def remediation_runs_for(run: ScenarioRun, seconds: float) -> None:
    """Run the remediation until it says that it is done, for so many seconds at most."""
    run.remediate(timeout_seconds=seconds)


@then(parsers.parse('it finds the cause "{cause}"'))
def finds_the_cause(run: ScenarioRun, cause: str) -> None:
    """The remediation found this cause, whatever else it found."""
    found = run.found_causes()
    assert cause in found, f"it found {sorted(found) or 'nothing'}"


@then(parsers.parse('it finds the cause "{cause}" in the pods that were terminated'))
def finds_the_cause_in_pods(run: ScenarioRun, cause: str) -> None:
    """The remediation found this cause, and named every pod that the step before it saw terminated."""
    found = run.found_causes()
    assert cause in found, f"it found {sorted(found) or 'nothing'}"
    missed = set(run.hit_pods) - found[cause]
    assert not missed, f"it did not name {sorted(missed)}, it named {sorted(found[cause])}"


@then("it finds nothing to repair")
def finds_nothing(run: ScenarioRun) -> None:
    """The remediation found no cause at all, and says that there was nothing to do."""
    assert not run.found_causes(), f"it found {sorted(run.found_causes())}"
    assert run.outcome is not None
    assert run.outcome.status == "nothing_to_do", f"its outcome is {run.outcome.status!r}"


@then("its decision is the one of the matrix for the measured healthy share and error rate")
def decision_is_the_matrix_one(run: ScenarioRun) -> None:
    """The matrix cell of its decision is the one that the harness works out from what it measured itself."""
    decided = run.decision()
    cell = decided["cell"]
    measured = run.measured_at(run.marks["decided"])
    expected = matrix(measured.healthy_share, measured.error_rate)
    assert _words(cell["verdict"]) == expected.decision, (
        f"it says {_words(cell['verdict'])!r} at healthy share {decided['healthy_share']} and error rate "
        f"{decided['error_rate']}; measured were {measured.healthy_share:.2f} and {measured.error_rate:.3f}: "
        f"{expected.decision!r}"
    )
    source = "extension" if expected.extension else "runbook"
    assert cell["source"] == source, f"it says that the cell is of the {cell['source']}, it is of the {source}"


@then(parsers.parse('the matrix decides "{decision}"'))
def matrix_decides(run: ScenarioRun, decision: str) -> None:
    """The matrix cell of its decision says this: immediate rollback, rollback, fix forward [with monitoring]."""
    said = _words(run.decision()["cell"]["verdict"])
    assert said == decision, f"it says {said!r}"


@then(parsers.parse('it acts by a Helm upgrade that changes only "{key}"'))
def acts_by_helm_upgrade(run: ScenarioRun, key: str) -> None:
    """The release's values changed at this dotted key, and at no other."""
    changed = run.release_changes()
    assert set(changed) == {key}, f"the release's values changed at {sorted(changed) or 'nothing'}"


@then("it acts by enabling the model in the registry")
def acts_by_enabling(run: ScenarioRun) -> None:
    """It enabled the model in the registry."""
    kinds = [event.details.get("action") for event in run.remediation_events if event.name == "acted"]
    assert "EnableModel" in kinds, f"its actions were {kinds}"


@then("it changes no Helm release")
def changes_no_release(run: ScenarioRun) -> None:
    """The release has the revision that it had in its steady state."""
    now = run.day.release_revision()
    assert now == run.release_revision, f"the release went from revision {run.release_revision} to {now}"


def _words(verdict: str) -> str:
    """The runbook's words for what the remediation calls its matrix verdicts."""
    words = {
        "fix_forward": FIX_FORWARD,
        "fix_forward_monitored": FIX_FORWARD_MONITORED,
        "rollback": ROLLBACK,
        "immediate_rollback": IMMEDIATE_ROLLBACK,
    }
    return words[verdict]
