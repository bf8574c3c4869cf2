"""Steps about the service: what runs, its steady state, its recovery."""

from __future__ import annotations

from pytest_bdd import given, parsers, then

from gameday.judge import breach
from gameday.scenario import NothingProven, ScenarioRun


@given(parsers.parse('release "{release}" serves model "{model}" in environment "{environment}"'))
def release_serves_model(run: ScenarioRun, release: str, model: str, environment: str) -> None:
    """The run is about this release and this model; otherwise the verdict is INVALID."""
    subject = run.day.subject
    wanted, present = (release, model, environment), (subject.release, subject.model, subject.environment)
    if wanted != present:
        raise NothingProven(f"the feature needs {wanted}, the run has {present}", where=run.name)


@given("clients send steady load through the API router")
def clients_send_load(run: ScenarioRun) -> None:
    """Clients send the load of the run from here on; every request is recorded."""
    run.day.load.ensure_running()


@given("the service is in its steady state")
def steady_state(run: ScenarioRun) -> None:
    """Every pod is ready and the clients are well for the settling window; otherwise the verdict is INVALID."""
    run.await_steady_state()


@then(parsers.parse("the service recovers within {seconds:g} seconds"))
def service_recovers(run: ScenarioRun, seconds: float) -> None:
    """From a moment no later than so many seconds after the injection, pods, errors and latency are well again."""
    recovery = run.await_recovery(within_seconds=seconds)
    assert recovery.at_seconds is not None, f"it has not recovered: {recovery.missing}"
    took = recovery.at_seconds - run.marks["injected"]
    assert took <= seconds, f"it took {took:.1f} s"


@then("latency and errors stay within the SLO for the settling window")
def within_slo(run: ScenarioRun) -> None:
    """Once recovered, errors and P95 keep the run's objectives for the whole settling window."""
    slo = run.day.slo
    recovery = run.await_recovery(within_seconds=slo.recovery_seconds)
    assert recovery.at_seconds is not None, f"not within the SLO: {recovery.missing}"
    assert recovery.settled, recovery.missing
    seen = run.window(recovery.at_seconds, recovery.at_seconds + slo.settling_window_seconds)
    assert not breach(seen, slo), breach(seen, slo)


@then(parsers.parse('the registry holds model "{model}" as "{status}"'))
def registry_holds(run: ScenarioRun, model: str, status: str) -> None:
    """The model registry has the model with this status: ready, disabled, ..."""
    entry = run.day.registry().get(run.day.subject.environment, model)
    assert entry is not None, "the registry has no entry for the model"
    assert entry.status == status, f"the registry says {entry.status!r}"


@then("a completion through the router is answered by a pod of the release")
def completion_is_answered(run: ScenarioRun) -> None:
    """A completion that is sent now through the router succeeds, and the pod that answers is one of the release."""
    completion = run.day.router().complete(run.day.subject.model)
    assert completion.ok, f"the router answered {completion.status} {completion.code}"
    names = {pod["metadata"]["name"] for pod in run.day.observer.pods()}
    assert completion.served_by in names, f"answered by {completion.served_by!r}, pods are {sorted(names)}"
