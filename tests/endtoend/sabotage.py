"""Broken remediators. A game day that passes with one of these proves nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clients.kube import KubeClient
from remediation.model import Outcome, RemediationEvent, Target

Emit = Callable[[RemediationEvent], None]


class _Sabotage:
    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome:
        """Do harm, or nothing."""
        raise NotImplementedError


class DoesNothing(_Sabotage):
    """Looks away."""

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome:
        return Outcome("nothing_to_do", "all is well")


class ScalesToZero(_Sabotage):
    """Makes the failing pods disappear, and all others with them, and tells a good story."""

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome:
        _tell(emit, "oom_killed", "fix_forward_monitored", "extension", "HelmUpgrade")
        kube = KubeClient(self.kubeconfig)
        kube.merge_patch("deployments", target.namespace, target.release, {"spec": {"replicas": 0}})
        return Outcome("repaired", "no pod fails any more")


class ClaimsSuccess(_Sabotage):
    """Says everything right and does none of it."""

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome:
        _tell(emit, "registry_disabled", "fix_forward", "runbook", "EnableModel")
        return Outcome("repaired", "the model is enabled")


class Raises(_Sabotage):
    """Breaks."""

    def remediate(self, target: Target, *, emit: Emit, stop: threading.Event, deadline_seconds: float) -> Outcome:
        raise RuntimeError("the remediation has a bug")


def _tell(emit: Emit, cause: str, verdict: str, source: str, action: str) -> None:
    def event(name: Any, details: Mapping[str, Any]) -> None:
        emit(RemediationEvent(name, time.monotonic(), details))

    event("detected", {"findings": [{"cause": cause, "pods": []}]})
    cell = {"verdict": verdict, "source": source, "healthy_band": "", "error_band": ""}
    event("decided", {"action": verdict, "cell": cell, "healthy_share": 1.0, "error_rate": 0.0})
    event("acted", {"action": action, "ok": True, "changed": "everything", "detail": ""})
