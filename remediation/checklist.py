"""The runbook's "After Remediation Checklist", each item looked at. Pure: from what was seen to what is still open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from remediation.model import Finding
from remediation.policy import Policy
from remediation.ports import Completion
from remediation.rules.registry import READY
from remediation.snapshot import Snapshot

DOCUMENTED_SECTIONS = ("Summary", "Timeline", "Root Cause", "Resolution", "Action Items")
_PLACEHOLDERS = ("Brief description of what happened.", "Detailed explanation of what caused the issue.")


class State(Enum):
    """Whether an item of the checklist holds. What cannot be seen is never taken for done."""

    DONE = "done"
    OPEN = "open"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Item:
    """One item of the checklist: the runbook's text, whether it holds, and what says so."""

    text: str
    state: State
    evidence: str


@dataclass(frozen=True)
class Seen:
    """What the checklist is verified on.

    Attributes:
        completion: the answer to one request through the router; None when none could be asked.
        pods: names of the release's pods.
        postmortem: the text of the postmortem; None when there is none.
        known_causes: causes that the runbook describes.
    """

    snapshot: Snapshot
    findings: Sequence[Finding]
    completion: Completion | None
    pods: Sequence[str]
    postmortem: str | None
    known_causes: frozenset[str]


def verify(seen: Seen, policy: Policy) -> tuple[Item, ...]:
    """All items of the runbook's checklist, in its order."""
    return (
        _pods(seen.snapshot),
        _registry(seen.snapshot),
        _routing(seen),
        _errors(seen.snapshot, policy),
        _latency(seen.snapshot, policy),
        _root_cause(seen),
        _postmortem(seen),
        _runbook(seen),
    )


def done(items: Sequence[Item]) -> bool:
    """Whether nothing is open or unknown."""
    return all(item.state is State.DONE for item in items)


def lines(items: Sequence[Item]) -> Iterator[str]:
    """The checklist as Markdown."""
    for item in items:
        mark = "x" if item.state is State.DONE else " "
        note = "" if item.state is State.DONE else f"{item.state.value}: "
        yield f"- [{mark}] {item.text} ({note}{item.evidence})"


def _item(text: str, holds: bool | None, evidence: str) -> Item:
    return Item(text, State.UNKNOWN if holds is None else State.DONE if holds else State.OPEN, evidence)


def _pods(snapshot: Snapshot) -> Item:
    text, deployment = "Verify all pods are healthy", snapshot.deployment
    if deployment is None:
        return _item(text, None, "; ".join(snapshot.missing) or "there is no Deployment")
    stable = deployment.desired > 0 and snapshot.stable >= deployment.desired
    seen = f"{snapshot.healthy} healthy, {snapshot.stable} stable, {deployment.desired} wanted"
    return _item(text, stable and deployment.rolled_out, seen)


def _registry(snapshot: Snapshot) -> Item:
    text, entry = "Confirm registry status is correct", snapshot.registry
    if entry is None:
        return _item(text, None, snapshot.registry_problem or "no registry is known")
    if entry.on_purpose:
        return _item(text, True, f"disabled on purpose by {entry.owner or 'nobody named'}: {entry.reason}")
    return _item(text, entry.status == READY, f"{entry.status} at {entry.endpoint}")


def _routing(seen: Seen) -> Item:
    text, answer = "Test end-to-end routing through API Router", seen.completion
    if answer is None:
        return _item(text, None, "no router is known: give --router-url")
    own = not answer.served_by or answer.served_by in seen.pods
    by = f" by {answer.served_by}" if answer.served_by else ""
    return _item(text, answer.ok and own, f"{answer.status}{by} in {answer.seconds:.2f} s {answer.code}".strip())


def _errors(snapshot: Snapshot, policy: Policy) -> Item:
    text, rate = "Check error rates returned to baseline", snapshot.traffic.error_rate
    if rate is None:
        return _item(text, None, snapshot.traffic.problem or "no traffic was seen")
    seen = f"{rate:.2%} of {snapshot.traffic.requests} requests, SLO {policy.slo_error_rate:.2%}"
    return _item(text, rate <= policy.slo_error_rate, seen)


def _latency(snapshot: Snapshot, policy: Policy) -> Item:
    text, p95 = "Verify latency within SLOs", snapshot.traffic.p95_seconds
    if p95 is None:
        return _item(text, None, snapshot.traffic.problem or "no latency was measured")
    return _item(text, p95 <= policy.slo_p95_seconds, f"P95 {p95:.2f} s, SLO {policy.slo_p95_seconds:.2f} s")


def _root_cause(seen: Seen) -> Item:
    text = "Document root cause"
    if seen.postmortem is None:
        return _item(text, False, "there is no postmortem: give --postmortem FILE")
    written = _section(seen.postmortem, "Root Cause")
    return _item(text, bool(written), "the postmortem names it" if written else "its section Root Cause is empty")


def _postmortem(seen: Seen) -> Item:
    text = "Create postmortem if production impacted"
    if seen.postmortem is None:
        return _item(text, False, "there is none: give --postmortem FILE")
    missing = [name for name in DOCUMENTED_SECTIONS if not _section(seen.postmortem, name)]
    return _item(text, not missing, f"still empty: {', '.join(missing)}" if missing else "every section is written")


def _runbook(seen: Seen) -> Item:
    text = "Update runbook if new failure mode discovered"
    new = sorted({f.cause for f in seen.findings if f.confirmed and not f.symptom} - seen.known_causes)
    return _item(text, not new, f"not in the runbook: {', '.join(new)}" if new else "no new failure mode")


def _section(document: str, name: str) -> str:
    """What stands below a heading; empty when it is missing or still the template's own words."""
    found = re.search(rf"^## {re.escape(name)}\s*$(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    body = found.group(1).strip() if found else ""
    return "" if body in _PLACEHOLDERS else body
