"""Looks at everything that the post-incident checklist asks for."""

from __future__ import annotations

import threading
from pathlib import Path

from clients.errors import GamedayError, InputError
from remediation.checklist import Item, Seen, verify
from remediation.diagnose import diagnose
from remediation.model import Target
from remediation.observe import Observer
from remediation.ports import Completion
from remediation.rules import own_families


def check(observer: Observer, target: Target, *, postmortem: Path | None = None) -> tuple[Item, ...]:
    """The checklist, item by item, on what is seen now: rates over the policy's traffic window.

    Raises:
        GamedayError: the cluster cannot be read.
        InputError: the postmortem cannot be read.
    """
    policy = observer.policy
    observer.observe()
    threading.Event().wait(policy.traffic_window_seconds)
    snapshot = observer.observe(full=True)
    seen = Seen(
        snapshot=snapshot,
        findings=observer.diagnose(snapshot),
        completion=_completion(observer) if target.router_url else None,
        pods=tuple(pod.name for pod in snapshot.workload_pods),
        postmortem=_text(postmortem),
        known_causes=frozenset(f.cause for f in diagnose(snapshot, policy, own_families())),
    )
    return verify(seen, policy)


def _completion(observer: Observer) -> Completion:
    try:
        return observer.complete_through_router()
    except GamedayError as error:
        return Completion(0, detail=str(error))


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"the postmortem cannot be read: {error}"
        raise InputError(problem, where=str(path), remedy="check --postmortem") from error
