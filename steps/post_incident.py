"""Steps about what comes after: the checklist and the postmortem."""

from __future__ import annotations

from pytest_bdd import then

from clients.helm import HelmClient
from clients.kube import KubeClient
from gameday.scenario import ScenarioRun
from remediation.checklist import State
from remediation.engine import connect
from remediation.policy import Policy
from remediation.verify import check

WINDOW_SECONDS = 3.0


@then("the post-incident checklist holds item by item")
def checklist_holds(run: ScenarioRun) -> None:
    """Every item of the runbook's checklist is verified and holds; the postmortem is the one that the run wrote."""
    target, kubeconfig = run.day.remediation_target(), run.day.cluster.kubeconfig
    policy = Policy(traffic_window_seconds=WINDOW_SECONDS, settling_seconds=run.day.slo.settling_window_seconds)
    kube = KubeClient(kubeconfig)
    try:
        with HelmClient(target.namespace, kubeconfig) as helm:
            observer, _ = connect(kube, helm, target, policy)
            items = check(observer, target, postmortem=run.write_postmortem())
    finally:
        kube.close()
    for item in items:
        run.day.timeline.add("checklist", item.text, scenario=run.name, state=item.state.value, evidence=item.evidence)
    left = [f"{item.text}: {item.state.value}, {item.evidence}" for item in items if item.state is not State.DONE]
    assert len(items) == 8, "the runbook's checklist has eight items"
    assert not left, "; ".join(left)
