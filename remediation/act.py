"""Carrying out planned actions. Each is idempotent, has a deadline, and says what it changed; none of them
decides.
"""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from clients import helm_release
from clients.errors import GamedayError, OperationFailed
from clients.helm_release import StoredRelease, set_value
from remediation.commands import strategy_patch
from remediation.model import (
    ActionKind,
    ActionResult,
    ClearCacheKey,
    EnableModel,
    HelmRollback,
    HelmUpgrade,
    PatchStrategy,
    Target,
    VerifyCompletion,
    VerifyRouting,
    WaitRollout,
)
from remediation.observe import INSTANCE, Observer
from remediation.policy import Policy
from remediation.ports import Helm, Kube, Registry
from remediation.rules import oom
from remediation.snapshot import Pod, Snapshot

WATCH_SECONDS = 1.0


@dataclass
class Actor:
    """Does what a plan says, for one target."""

    kube: Kube
    helm: Helm
    observer: Observer
    target: Target
    policy: Policy
    registry: Registry | None = None

    def perform(self, action: ActionKind, *, stop: threading.Event, deadline: float) -> ActionResult:
        """Carry out one action.

        Args:
            deadline: monotonic seconds by which it must have ended.
        """
        try:
            return self._dispatch(action, stop, deadline)
        except GamedayError as error:
            return ActionResult(False, str(error))

    def _dispatch(self, action: ActionKind, stop: threading.Event, deadline: float) -> ActionResult:
        match action:
            case HelmUpgrade(set_values):
                return self._upgrade(dict(set_values))
            case HelmRollback(revision):
                return self._rollback(revision)
            case PatchStrategy():
                return self._patch_strategy(action)
            case WaitRollout(deployment):
                limit = min(deadline, time.monotonic() + self.policy.rollout_timeout_seconds)
                return self._wait_rollout(deployment, stop, limit)
            case VerifyCompletion(pod):
                return self._verify_completion(pod)
            case ClearCacheKey():
                return self._clear_cache()
            case EnableModel():
                return self._enable()
            case VerifyRouting():
                return self._verify_routing()

    def _upgrade(self, changes: dict[str, str]) -> ActionResult:
        """The chart's defaults, the release's own values, then the changes: nothing that is deployed is dropped
        (W27).
        """
        newest = self._newest()
        values = dict(newest.user_values)
        for path, value in changes.items():
            values = set_value(values, path, value)
        text = ", ".join(f"{path}={value}" for path, value in changes.items())
        if values == newest.user_values and newest.status == "deployed":
            return ActionResult(True, f"revision {newest.revision} has {text} already")
        with tempfile.TemporaryDirectory(prefix="remediation-chart-") as folder:
            chart = self.target.chart or helm_release.write_chart(newest, Path(folder))
            self.helm.upgrade(self.target.release, chart, values)
        return ActionResult(True, f"upgraded to revision {newest.revision + 1}", changed=text)

    def _rollback(self, revision: int) -> ActionResult:
        newest = self._newest()
        if newest.status == "deployed" and newest.description == f"Rollback to {revision}":
            return ActionResult(True, f"revision {newest.revision} is that rollback already")
        self.helm.rollback(self.target.release, revision)
        return ActionResult(True, f"rolled back to revision {revision}", changed=f"revision {newest.revision + 1}")

    def _newest(self) -> StoredRelease:
        stored = self.observer.stored_releases()
        if not stored:
            raise OperationFailed("it has no Helm history", where=f"release {self.target.release}")
        return stored[-1]

    def _patch_strategy(self, action: PatchStrategy) -> ActionResult:
        body = strategy_patch(action)
        self.kube.merge_patch("deployments", self.target.namespace, action.deployment, body)
        text = f"maxSurge {action.max_surge}, maxUnavailable {action.max_unavailable}"
        return ActionResult(True, f"Deployment {action.deployment}: {text}", changed=text)

    def _wait_rollout(self, deployment: str, stop: threading.Event, deadline: float) -> ActionResult:
        """Watch the Deployment until its rollout is complete; give up early when the new pods are killed again."""
        labels = INSTANCE.format(self.target.release)
        while True:
            snapshot = self.observer.observe()
            if snapshot.deployment is not None and snapshot.deployment.rolled_out:
                return ActionResult(True, f"Deployment {deployment}: {snapshot.deployment.available} available")
            if again := _killed_again(snapshot):
                return ActionResult(False, again)
            if stop.is_set() or time.monotonic() >= deadline:
                why = "stopped" if stop.is_set() else "its deadline passed"
                return ActionResult(False, f"the rollout of {deployment} is not complete: {why}; {_state(snapshot)}")
            self._await_change(labels, min(WATCH_SECONDS, max(0.1, deadline - time.monotonic())))

    def _await_change(self, labels: str, timeout_seconds: float) -> None:
        """Return when the Deployment changes, or after the timeout. The first object is the present state."""
        seen = self.kube.watch("deployments", self.target.namespace, labels=labels, timeout_seconds=timeout_seconds)
        for number, _ in enumerate(seen):
            if number:
                return

    def _verify_completion(self, name: str) -> ActionResult:
        pods = [p for p in self.observer.observe().pods if p.serving and name in ("", p.name)]
        if not pods:
            return ActionResult(False, "no pod serves")
        return _all_answered({pod.name: self._answer(pod) for pod in pods})

    def _answer(self, pod: Pod) -> str:
        answer = self.observer.complete_at(pod)
        return "" if answer.ok else answer.detail or str(answer.status)

    def _clear_cache(self) -> ActionResult:
        registry, target = self._registry(), self.target
        registry.clear_cache(target.environment, target.model)
        key = f"model_registry:{target.environment}:{target.model}"
        return ActionResult(True, f"deleted the cache key {key}", changed=key)

    def _enable(self) -> ActionResult:
        """Look again before changing: somebody may have disabled it on purpose in the meantime."""
        registry, target = self._registry(), self.target
        entry = registry.entry(target.environment, target.model)
        if entry is None:
            return ActionResult(False, f"model {target.model} ({target.environment}) is not registered")
        if entry.status == "ready":
            return ActionResult(True, f"model {target.model} is ready already")
        if entry.on_purpose:
            return ActionResult(False, f"disabled on purpose by {entry.owner}: {entry.reason}")
        now = registry.enable(target.environment, target.model)
        return ActionResult(now.status == "ready", f"status is {now.status}", changed=f"{entry.status} -> {now.status}")

    def _registry(self) -> Registry:
        if self.registry is None:
            remedy = "give --registry-url"
            raise OperationFailed("no model registry is known", where=self.target.model, remedy=remedy)
        return self.registry

    def _verify_routing(self) -> ActionResult:
        if not self.target.router_url:
            return ActionResult(False, "no router is known: give --router-url")
        answer = self.observer.complete_through_router()
        by = f" by {answer.served_by}" if answer.served_by else ""
        return ActionResult(answer.ok, f"router: {answer.detail or answer.status}{by} in {answer.seconds:.2f} s")


def _all_answered(problems: dict[str, str]) -> ActionResult:
    failed = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    if failed:
        return ActionResult(False, f"no completion from {'; '.join(failed)}")
    return ActionResult(True, f"{len(problems)} pod(s) answered a completion")


def _killed_again(snapshot: Snapshot) -> str:
    """Whether pods of a rollout that the controller has taken up are killed for memory once more."""
    deployment = snapshot.deployment
    if deployment is None or deployment.observed_generation < deployment.generation:
        return ""
    found = oom.find(snapshot)
    return f"the new pods fail too: {found[0].summary}" if found else ""


def _state(snapshot: Snapshot) -> str:
    deployment = snapshot.deployment
    if deployment is None:
        return "there is no Deployment"
    return f"{deployment.updated} of {deployment.desired} updated, {deployment.available} available"
