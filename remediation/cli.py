"""`remediate diagnose | plan | apply | verify | watch`: the runbook for a person on call.

Exit codes: 0 repaired or nothing to do, 1 not repaired or something is wrong, 2 it could not be tried.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.errors import GamedayError, InputError
from clients.helm import HelmClient
from clients.kube import KubeClient
from remediation import checklist, render
from remediation.decide import decide
from remediation.diagnose import bad_input
from remediation.discover import Wish, discover
from remediation.engine import RunbookRemediator, check_clocks, connect
from remediation.fleet import Fleet
from remediation.fleet import Release as FoundRelease
from remediation.model import Decision, Finding, Outcome, RemediationEvent, Target
from remediation.observe import Observer
from remediation.plan import plan as make_plan
from remediation.policy import Policy
from remediation.remedy import Situation
from remediation.rootcause import failure_points, report
from remediation.snapshot import Snapshot
from remediation.verify import check

UNUSABLE = 2
app = typer.Typer(
    help="Diagnose and repair a vLLM release as the runbook says.", no_args_is_help=True, add_completion=False
)


class Format(Enum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


Release = Annotated[str, typer.Option("--release", "-r", help="Helm release to look at.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")]
Kubeconfig = Annotated[Path | None, typer.Option(help="Kubeconfig file [default: as kubectl].")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
Environment = Annotated[str, typer.Option(help="Registry environment [default: the pods' label].")]
Model = Annotated[str, typer.Option(help="Model name [default: from the registry].")]
RouterUrl = Annotated[str, typer.Option(help="Base URL of the API router [default: Service api-router].")]
RegistryUrl = Annotated[str, typer.Option(help="Base URL of the registry [default: Service model-registry].")]
ApiKeyFile = Annotated[
    Path | None, typer.Option(help="File with a router API key [default: $API_KEY, then the Secret].")
]
Chart = Annotated[Path | None, typer.Option(help="Chart for upgrades [default: the one the release stores].")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="Policy file [default: the shipped one].")]
Output = Annotated[Format, typer.Option("--format", help="How to print.")]


@dataclass(frozen=True)
class Access:
    """Which cluster, and what was said about the target."""

    wish: Wish
    kubeconfig: Path | None
    context: str | None


@dataclass(frozen=True)
class Assessment:
    """What `diagnose` and `plan` print."""

    situation: Situation
    decision: Decision

    @property
    def target(self) -> Target:
        return self.situation.target

    @property
    def snapshot(self) -> Snapshot:
        return self.situation.snapshot

    @property
    def findings(self) -> list[Finding]:
        return list(self.situation.findings)


@app.command()
def diagnose(
    release: Release,
    namespace: Namespace,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    environment: Environment = "",
    model: Model = "",
    router_url: RouterUrl = "",
    registry_url: RegistryUrl = "",
    api_key_file: ApiKeyFile = None,
    policy_file: PolicyFile = None,
    output: Output = Format.TEXT,
) -> None:
    """Say what is wrong, on which evidence, and what the runbook decides. Changes nothing."""
    wish = Wish(release, namespace, environment, model, router_url, registry_url, _api_key(api_key_file))
    seen = _assess(Access(wish, kubeconfig, context), Policy.load(policy_file))
    if output is Format.JSON:
        _print_json(seen, decision=render.decision_facts(seen.decision))
    else:
        _print_lines(render.snapshot_lines(seen.snapshot))
        _print_lines(report(failure_points(seen.snapshot, seen.situation.policy)))
        _print_lines(render.decision_lines(seen.decision))
    raise typer.Exit(1 if seen.findings else 0)


@app.command()
def plan(
    release: Release,
    namespace: Namespace,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    environment: Environment = "",
    model: Model = "",
    router_url: RouterUrl = "",
    registry_url: RegistryUrl = "",
    api_key_file: ApiKeyFile = None,
    policy_file: PolicyFile = None,
    chart: Chart = None,
    output: Output = Format.TEXT,
) -> None:
    """Print the commands that would repair it, in the phases of Procedure 3. Changes nothing."""
    wish = Wish(release, namespace, environment, model, router_url, registry_url, _api_key(api_key_file), chart)
    seen = _assess(Access(wish, kubeconfig, context), Policy.load(policy_file))
    planned = make_plan(seen.decision, seen.situation)
    if not planned.actions and (problem := bad_input(seen.situation)):
        raise InputError(problem, where=f"release {release}", remedy="give a chart and values that have it")
    if output is Format.JSON:
        _print_json(seen, decision=render.decision_facts(seen.decision), plan=render.as_json(planned))
    else:
        _print_lines(render.decision_lines(seen.decision))
        _print_lines(render.plan_lines(planned))
    raise typer.Exit(1 if seen.findings and not planned.actions else 0)


@app.command()
def apply(
    release: Release,
    namespace: Namespace,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    environment: Environment = "",
    model: Model = "",
    router_url: RouterUrl = "",
    registry_url: RegistryUrl = "",
    api_key_file: ApiKeyFile = None,
    policy_file: PolicyFile = None,
    chart: Chart = None,
    deadline_seconds: Annotated[float, typer.Option(help="Give up after so many seconds.")] = 1800.0,
    output: Output = Format.TEXT,
) -> None:
    """Do it, step by step, and prove that it holds."""
    wish = Wish(release, namespace, environment, model, router_url, registry_url, _api_key(api_key_file), chart)
    access, policy = Access(wish, kubeconfig, context), Policy.load(policy_file)
    with _kube(access) as kube:
        target = discover(kube, wish)
    remediator = RunbookRemediator(kubeconfig, context, policy, patience_seconds=policy.settling_seconds)
    stop, started = _stop_on_signals(), time.monotonic()

    def emit(event: RemediationEvent) -> None:
        if output is Format.TEXT:
            typer.echo(_event_line(event, started))

    outcome = remediator.remediate(target, emit=emit, stop=stop, deadline_seconds=deadline_seconds)
    _print_outcome(outcome, output)
    if outcome.bad_input:
        raise typer.Exit(UNUSABLE)
    raise typer.Exit(0 if outcome.status in ("repaired", "nothing_to_do") else 1)


@app.command()
def verify(
    release: Release,
    namespace: Namespace,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    environment: Environment = "",
    model: Model = "",
    router_url: RouterUrl = "",
    registry_url: RegistryUrl = "",
    api_key_file: ApiKeyFile = None,
    policy_file: PolicyFile = None,
    postmortem: Annotated[Path | None, typer.Option(help="The postmortem that was written.")] = None,
    output: Output = Format.TEXT,
) -> None:
    """Verify the post-incident checklist item by item. Changes nothing; exit code 1 while something is open."""
    wish = Wish(release, namespace, environment, model, router_url, registry_url, _api_key(api_key_file))
    with _observing(Access(wish, kubeconfig, context), Policy.load(policy_file)) as observer:
        items = check(observer, observer.target, postmortem=postmortem)
    if output is Format.JSON:
        typer.echo(json.dumps(render.as_json(items), indent=2))
    else:
        _print_lines(checklist.lines(items))
    raise typer.Exit(0 if checklist.done(items) else 1)


@app.command()
def watch(
    selector: Annotated[str, typer.Option("--selector", "-l", help="Label selector of the releases' Deployments.")],
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    policy_file: PolicyFile = None,
    hands_off_seconds: Annotated[float, typer.Option(help="Leave a release alone after handing it over.")] = 3600.0,
) -> None:
    """Keep repairing every release that a selector finds, in all namespaces, until it is stopped."""
    policy = Policy.load(policy_file)
    remediator = RunbookRemediator(kubeconfig, context, policy, patience_seconds=policy.settling_seconds)
    stop, started = _stop_on_signals(), time.monotonic()

    def tell(release: FoundRelease, said: RemediationEvent | Outcome) -> None:
        name = "/".join(release)
        if isinstance(said, Outcome):
            if said.status != "nothing_to_do":
                typer.echo(f"{name}: {said.status}: {said.summary}")
        elif said.name != "observed":
            typer.echo(f"{name}: {_event_line(said, started)}")

    kube = KubeClient(kubeconfig, context)
    try:
        Fleet(kube, selector, remediator, tell, hands_off_seconds=hands_off_seconds).run(stop)
    finally:
        kube.close()


def main() -> None:
    """Entry point: our errors become one message and exit code 2, never a traceback."""
    try:
        app()
    except GamedayError as error:
        print(f"remediate: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)


def _assess(access: Access, policy: Policy) -> Assessment:
    """Observe twice, because rates need a window; then diagnose and decide."""
    with _observing(access, policy) as observer:
        observer.observe()
        threading.Event().wait(observer.policy.traffic_window_seconds)
        snapshot = observer.with_probe_traffic(observer.observe(full=True))
        findings = tuple(observer.diagnose(snapshot))
    situation = Situation(snapshot, observer.policy, observer.target, findings)
    return Assessment(situation, decide(situation))


@contextmanager
def _observing(access: Access, policy: Policy) -> Iterator[Observer]:
    """An observer of the target, with a traffic window that a person waits for."""
    with _kube(access) as kube, HelmClient(access.wish.namespace, access.kubeconfig, access.context) as helm:
        target = discover(kube, access.wish)
        shorter = policy.changed(traffic_window_seconds=min(policy.traffic_window_seconds, 5.0))
        yield connect(kube, helm, target, shorter)[0]


@contextmanager
def _kube(access: Access) -> Iterator[KubeClient]:
    kube = KubeClient(access.kubeconfig, access.context)
    try:
        check_clocks(kube, Policy())
        yield kube
    finally:
        kube.close()


def _api_key(file: Path | None) -> str:
    if file is None:
        return os.environ.get("API_KEY", "")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        problem = f"the API key cannot be read: {error.strerror}"
        raise InputError(problem, where=str(file), remedy="check --api-key-file") from error


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _print_json(seen: Assessment, **more: Any) -> None:
    facts = {
        "target": render.as_json(seen.target),
        "snapshot": render.as_json(seen.snapshot),
        "findings": render.as_json(seen.findings),
    }
    typer.echo(json.dumps({**facts, **more}, indent=2))


def _print_lines(lines: Iterator[str]) -> None:
    for line in lines:
        typer.echo(line)


def _print_outcome(outcome: Outcome, output: Format) -> None:
    if output is Format.JSON:
        typer.echo(json.dumps(render.as_json(outcome), indent=2))
        return
    typer.echo(f"{outcome.status}: {outcome.summary}")
    for text in outcome.remains:
        typer.echo(f"  remains: {text}")


def _event_line(event: RemediationEvent, started: float) -> str:
    d = event.details
    match event.name:
        case "observed":
            text = d.get("problem") or f"{d.get('healthy')} of {d.get('desired')} healthy, {d.get('stable')} stable"
        case "detected":
            found = d.get("findings")
            text = "; ".join(str(f["summary"]) for f in found if isinstance(f, dict)) if isinstance(found, list) else ""
        case "decided":
            text = f"{d.get('action')} ({d.get('quote')})"
        case "acted":
            text = f"{d.get('action')}: {d.get('detail')}"
        case "validated":
            text = "all postconditions hold" if d.get("ok") else f"unmet: {d.get('unmet')}"
        case "planned":
            text = "commands follow one by one"
        case "escalated":
            text = str(d.get("why"))
    return f"{event.monotonic_seconds - started:7.1f} s  {event.name:<9}  {text}"


if __name__ == "__main__":
    main()
