"""A postmortem from what happened, in the runbook's template. Pure: facts in, Markdown out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from remediation.model import Outcome, RemediationEvent

_SAID = {
    "detected": "Root cause identified",
    "decided": "Decision",
    "acted": "Remediation applied",
    "validated": "Validated",
    "escalated": "Handed over to people",
}


@dataclass(frozen=True)
class Impact:
    """What users felt, in requests.

    Attributes:
        requests, failed, refused: between the begin and the end of the incident; None when nobody counted.
        budget_minutes: minutes of the error budget that it took; None without a count.
        budget_share: the same as a ratio of the budget of the SLO's period.
        budget_period: in words.
    """

    requests: int | None = None
    failed: int | None = None
    refused: int | None = None
    budget_minutes: float | None = None
    budget_share: float | None = None
    budget_period: str = "30 days"


@dataclass(frozen=True)
class Incident:
    """One incident.

    Attributes:
        began, ended: wall clock; monotonic seconds of events are counted from `began_monotonic_seconds`.
        marks: further moments of the timeline (monotonic seconds -> words).
    """

    title: str
    began: datetime
    began_monotonic_seconds: float
    ended_monotonic_seconds: float
    events: Sequence[RemediationEvent]
    outcome: Outcome | None
    impact: Impact = field(default_factory=Impact)
    marks: Mapping[float, str] = field(default_factory=dict)


def render(incident: Incident) -> str:
    """The postmortem, every section filled from what was recorded."""
    sections = {
        "Summary": _summary(incident),
        "Timeline": _timeline(incident),
        "Root Cause": _root_cause(incident),
        "Resolution": _resolution(incident),
        "Action Items": _action_items(incident),
    }
    body = "\n\n".join(f"## {name}\n" + "\n".join(lines) for name, lines in sections.items())
    return f"{_head(incident)}\n\n{body}\n"


def _head(incident: Incident) -> str:
    minutes = (incident.ended_monotonic_seconds - incident.began_monotonic_seconds) / 60
    return (
        "# Postmortem: Partial vLLM Deployment Failure\n\n"
        f"**Date**: {incident.began:%Y-%m-%d}\n"
        f"**Duration**: {minutes / 60:.2f} hours ({minutes:.1f} minutes)\n"
        f"**Impact**: {_impact(incident.impact)}"
    )


def _impact(impact: Impact) -> str:
    if impact.requests is None or impact.failed is None:
        return "not measured: no client's requests were counted"
    affected = impact.failed + (impact.refused or 0)
    share = affected / impact.requests if impact.requests else 0.0
    text = f"{affected} of {impact.requests} requests affected ({share:.1%}): {impact.failed} failed"
    if impact.refused:
        text += f", {impact.refused} refused"
    if impact.budget_minutes is not None and impact.budget_share is not None:
        budget = f"{impact.budget_minutes:.2f} minutes of the error budget of {impact.budget_period}"
        text += f"; {budget} ({impact.budget_share:.2%})"
    return text


def _summary(incident: Incident) -> list[str]:
    outcome = incident.outcome
    ended = f"The remediation ended as: {outcome.status}, {outcome.summary}." if outcome else "No remediation ran."
    return [f"{incident.title}.", ended]


def _timeline(incident: Incident) -> list[str]:
    moments = [(at, text) for at, text in incident.marks.items()]
    moments += [(event.monotonic_seconds, text) for event in incident.events if (text := _in_words(event))]
    return [f"- {_clock(incident, at)} - {text}" for at, text in sorted(moments)] or ["- nothing was recorded"]


def _clock(incident: Incident, at_seconds: float) -> str:
    moment = incident.began + timedelta(seconds=at_seconds - incident.began_monotonic_seconds)
    return f"{moment:%H:%M:%S}"


def _in_words(event: RemediationEvent) -> str:
    details: Mapping[str, Any] = event.details
    if event.name not in _SAID:
        return ""
    match event.name:
        case "detected":
            what = "; ".join(f["summary"] for f in details.get("findings") or [] if f.get("confirmed"))
        case "decided":
            what = f"{details.get('action')} ({details.get('quote')})"
        case "acted":
            what = f"{details['changed']}: `{details.get('command')}`" if details.get("changed") else ""
        case "validated":
            what = "service restored" if details.get("ok") else f"not yet: {'; '.join(details.get('unmet') or [])}"
        case _:
            what = str(details.get("why", ""))
    return f"{_SAID[event.name]}: {what}" if what else ""


def _root_cause(incident: Incident) -> list[str]:
    findings = [f for f in _findings(incident) if f.get("confirmed")]
    if not findings:
        return ["No cause was confirmed."]
    return [line for finding in findings for line in _cause(finding)]


def _findings(incident: Incident) -> list[Mapping[str, Any]]:
    """The findings of every round, each cause as it was seen first."""
    seen: dict[str, Mapping[str, Any]] = {}
    for event in incident.events:
        found: Any = event.details.get("findings") if event.name == "detected" else None
        for finding in found or []:
            seen.setdefault(finding["cause"], finding)
    return list(seen.values())


def _cause(finding: Mapping[str, Any]) -> Iterator[str]:
    yield f"**{finding['cause']}** ({finding['family']}, confidence {finding['confidence']:.0%}): {finding['summary']}"
    for side in ("evidence", "against"):
        word = "for" if side == "evidence" else "against"
        for each in finding.get(side) or []:
            when = f" at {each['at']}" if each.get("at") else ""
            yield f"- {word}: {each['object']}, {each['field']}: {each['value']}{when}"


def _resolution(incident: Incident) -> list[str]:
    done = [e.details for e in incident.events if e.name == "acted" and e.details.get("changed")]
    steps = [f"- `{each['command']}` ({each.get('detail')})" for each in done if each.get("command")]
    return steps or ["Nothing was changed."]


def _action_items(incident: Incident) -> list[str]:
    items = [f"- [ ] Still to do: {text}" for text in (incident.outcome.remains if incident.outcome else ())]
    causes = [finding["cause"] for finding in _findings(incident) if finding.get("confirmed")]
    items += [f"- [ ] Prevent {cause} (link to ticket)" for cause in causes]
    decisions = [e.details for e in incident.events if e.name == "decided"]
    if any("not covered by the runbook" in str(each.get("quote")) for each in decisions):
        items.append("- [ ] The decision was not covered by the runbook: add the case (link to PR)")
    return [*items, "- [ ] Update monitoring/alerts (link to ticket)", "- [ ] Update documentation (link to PR)"]
