"""Steps about the remediation: what it found, decided and did."""

from __future__ import annotations

from pytest_bdd import parsers, then, when

from gameday.oracle import matrix
from gameday.scenario import ScenarioRun

REMEDIATION_SECONDS = 120.0


@when("the remediation runs")
def remediation_runs(run: ScenarioRun) -> None:
    run.remediate(timeout_seconds=REMEDIATION_SECONDS)


@when(parsers.parse("the remediation runs for {seconds:g} seconds"))
def remediation_runs_for(run: ScenarioRun, seconds: float) -> None:
    run.remediate(timeout_seconds=seconds)


@then(parsers.parse('it finds the cause "{cause}"'))
def finds_the_cause(run: ScenarioRun, cause: str) -> None:
    found = run.found_causes()
    assert cause in found, f"it found {sorted(found) or 'nothing'}"


@then(parsers.parse('it finds the cause "{cause}" in the pods that were terminated'))
def finds_the_cause_in_pods(run: ScenarioRun, cause: str) -> None:
    found = run.found_causes()
    assert cause in found, f"it found {sorted(found) or 'nothing'}"
    missed = set(run.hit_pods) - found[cause]
    assert not missed, f"it did not name {sorted(missed)}, it named {sorted(found[cause])}"


@then("it finds nothing to repair")
def finds_nothing(run: ScenarioRun) -> None:
    assert not run.found_causes(), f"it found {sorted(run.found_causes())}"
    assert run.outcome is not None
    assert run.outcome.status == "nothing_to_do", f"its outcome is {run.outcome.status!r}"


@then("its decision is the one of the matrix for the measured healthy share and error rate")
def decision_is_the_matrix_one(run: ScenarioRun) -> None:
    decided = run.decision()
    measured = run.measured_at(run.marks["decided"])
    expected = matrix(measured.healthy_share, measured.error_rate)
    said = decided["matrix_decision"]
    assert said == expected.decision, (
        f"it says {said!r} at healthy share {decided['healthy_share']} and error rate {decided['error_rate']}; "
        f"measured were {measured.healthy_share:.2f} and {measured.error_rate:.3f}: {expected.decision!r}"
    )
    assert bool(decided["extension"]) is expected.extension, (
        f"the cell is {'not ' if expected.extension else ''}the runbook's own, it says otherwise"
    )


@then(parsers.parse('the matrix decides "{decision}"'))
def matrix_decides(run: ScenarioRun, decision: str) -> None:
    said = run.decision()["matrix_decision"]
    assert said == decision, f"it says {said!r}"


@then(parsers.parse('it acts by a Helm upgrade that changes only "{key}"'))
def acts_by_helm_upgrade(run: ScenarioRun, key: str) -> None:
    changed = run.release_changes()
    assert set(changed) == {key}, f"the release's values changed at {sorted(changed) or 'nothing'}"


@then("it acts by enabling the model in the registry")
def acts_by_enabling(run: ScenarioRun) -> None:
    kinds = [event.detail.get("action") for event in run.remediation_events if event.phase == "acted"]
    assert "enable_model" in kinds, f"its actions were {kinds}"


@then("it changes no Helm release")
def changes_no_release(run: ScenarioRun) -> None:
    now = run.day.release_revision()
    assert now == run.release_revision, f"the release went from revision {run.release_revision} to {now}"
