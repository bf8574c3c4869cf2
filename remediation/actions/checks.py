"""Checks: actions that change nothing and fail when what they look for is not there."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from typing import ClassVar

from remediation.actions.base import Action, ActionResult, CommandContext, Tools, kubectl
from remediation.http import completion_body
from remediation.observe import INSTANCE
from remediation.snapshot import Snapshot

WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class WaitRollout(Action):
    """Watch the Deployment until its rollout is complete; give up early when the new pods fail like the old."""

    deployment: str
    mutates: ClassVar[bool] = False

    def command(self, context: CommandContext) -> str:
        timeout = f"--timeout={context.policy.rollout_timeout_seconds:.0f}s"
        return kubectl(context.target, "rollout", "status", f"deployment/{self.deployment}", timeout)

    def perform(self, tools: Tools) -> ActionResult:
        deadline = min(tools.deadline, time.monotonic() + tools.policy.rollout_timeout_seconds)
        while True:
            snapshot = tools.observer.observe()
            if snapshot.deployment is not None and snapshot.deployment.rolled_out:
                return ActionResult(True, f"Deployment {self.deployment}: {snapshot.deployment.available} available")
            if again := failing_again(snapshot, tools):
                return ActionResult(False, again)
            if tools.stop.is_set() or time.monotonic() >= deadline:
                why = "stopped" if tools.stop.is_set() else "its deadline passed"
                text = f"the rollout of {self.deployment} is not complete: {why}; {_state(snapshot)}"
                return ActionResult(False, text)
            self._await_change(tools, min(WATCH_SECONDS, max(0.1, deadline - time.monotonic())))

    def _await_change(self, tools: Tools, timeout_seconds: float) -> None:
        """Return when the Deployment changes, or after the timeout. The first object is the present state."""
        labels = INSTANCE.format(tools.target.release)
        seen = tools.kube.watch("deployments", tools.target.namespace, labels=labels, timeout_seconds=timeout_seconds)
        for number, _ in enumerate(seen):
            if number:
                return


@dataclass(frozen=True)
class VerifyCompletion(Action):
    """Ask for a completion at a pod itself; an empty name means every serving pod."""

    pod: str = ""
    mutates: ClassVar[bool] = False

    def command(self, context: CommandContext) -> str:
        target = context.target
        body = json.dumps(completion_body(target.model))
        names = kubectl(target, "get", "pods", "-l", INSTANCE.format(target.release), "-o", "name")
        return (
            f"for pod in $({names}); do kubectl exec -n {shlex.quote(target.namespace)} $pod -- "
            f"curl --fail -s localhost:8000/v1/completions -H 'Content-Type: application/json' "
            f"-d {shlex.quote(body)}; done"
        )

    def perform(self, tools: Tools) -> ActionResult:
        pods = [p for p in tools.observer.observe().pods if p.serving and self.pod in ("", p.name)]
        if not pods:
            return ActionResult(False, "no pod serves")
        answers = {pod.name: tools.observer.complete_at(pod) for pod in pods}
        failed = [f"{name}: {answer.detail or answer.status}" for name, answer in answers.items() if not answer.ok]
        if failed:
            return ActionResult(False, f"no completion from {'; '.join(failed)}")
        return ActionResult(True, f"{len(pods)} pod(s) answered a completion")


@dataclass(frozen=True)
class VerifyRouting(Action):
    """Ask for a completion through the router."""

    mutates: ClassVar[bool] = False

    def command(self, context: CommandContext) -> str:
        url = f"{context.target.router_url or 'http://api-router:8080'}/v1/completions"
        body = json.dumps(completion_body(context.target.model))
        return (
            f"curl --fail -X POST {shlex.quote(url)} "
            f"-H \"Authorization: Bearer $API_KEY\" -H 'Content-Type: application/json' -d {shlex.quote(body)}"
        )

    def perform(self, tools: Tools) -> ActionResult:
        if not tools.target.router_url:
            return ActionResult(False, "no router is known: give --router-url")
        answer = tools.observer.complete_through_router()
        by = f" by {answer.served_by}" if answer.served_by else ""
        return ActionResult(answer.ok, f"router: {answer.detail or answer.status}{by} in {answer.seconds:.2f} s")


@dataclass(frozen=True)
class VerifyEndpoints(Action):
    """The release's Services route to Ready pods only (Procedure 1, step 2): readiness does it, this looks."""

    mutates: ClassVar[bool] = False

    def command(self, context: CommandContext) -> str:
        return kubectl(
            context.target, "get", "endpointslices", "-l", INSTANCE.format(context.target.release), "-o", "wide"
        )

    def perform(self, tools: Tools) -> ActionResult:
        pods = {pod.name: pod for pod in tools.observer.observe().pods}
        labels = INSTANCE.format(tools.target.release)
        slices = tools.kube.list_objects("endpointslices", tools.target.namespace, labels=labels)
        routed = {
            (endpoint.get("targetRef") or {}).get("name", "")
            for each in slices
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        }
        unready = sorted(name for name in routed if name in pods and not pods[name].ready)
        if unready:
            return ActionResult(False, f"traffic goes to pods that are not ready: {', '.join(unready)}")
        return ActionResult(True, f"traffic goes to {len(routed)} ready pod(s) only")


def failing_again(snapshot: Snapshot, tools: Tools) -> str:
    """Why a rollout that the controller has taken up cannot succeed: its new pods fail with a proven cause."""
    deployment = snapshot.deployment
    if deployment is None or deployment.observed_generation < deployment.generation:
        return ""
    current = {rs.name for rs in snapshot.replica_sets if rs.current}
    pods = {pod.name for pod in snapshot.workload_pods if pod.replica_set in current}
    found = [f for f in tools.observer.diagnose(snapshot) if f.proven and f.pods and pods.issuperset(f.pods)]
    return f"the new pods fail too: {found[0].summary}" if found else ""


def _state(snapshot: Snapshot) -> str:
    deployment = snapshot.deployment
    if deployment is None:
        return "there is no Deployment"
    return f"{deployment.updated} of {deployment.desired} updated, {deployment.available} available"
