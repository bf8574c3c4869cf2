"""What was done during a recording, read from its timeline."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cluster.embedded.resources import Object
from tests.conformance.kubelet.programs import program_between
from tests.conformance.kubelet.recording import Entry, Recording

_AT_ONCE_SECONDS = 2.0
_DELETE = re.compile(r"DELETE (?P<kind>\w+)/(?P<name>[\w.-]+)(?:\?gracePeriodSeconds=(?P<grace>\d+))?")
_EVICT = re.compile(r"POST eviction of (?P<name>[\w.-]+)")
_CREATE = re.compile(r"(?P<kind>configmap|secret|pod|service|deployment) (?P<name>[\w.-]+)")
_SCALE = re.compile(r"kubectl scale --replicas=(?P<replicas>\d+)")
_UPDATE = re.compile(r"update deployment (?P<name>[\w.-]+): \{'(?P<key>\w+)': '(?P<value>[^']*)'\}")
_UNDO = re.compile(r"kubectl rollout undo(?:.*--to-revision=(?P<revision>\d+))?")
_KUBELET = re.compile(r"kubelet (?P<what>stop|start)(?:p?ed)(?: again| \(SIGTERM\)| \(SIGKILL\))?")
_CAPACITY = re.compile(r"PATCH node status capacity (?P<resource>[\w./-]+)=(?P<value>\d+)")


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do at a time.

    Attributes:
        verb: ``apply``, ``delete``, ``evict``, ``scale``, ``update`` (a variable), ``undo``, ``capacity``,
            ``stop kubelet`` or ``start kubelet``.
        kind, name: of the object that it is about.
        value: grace in seconds, number of replicas, NAME=VALUE, a revision, or a quantity.
        object: what to apply; for an update the fields of the container that change too.
    """

    t: float
    verb: str
    kind: str = ""
    name: str = ""
    value: str = ""
    object: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Script:
    """The steps in order, and from when on (and why) the recording cannot be followed any more."""

    steps: Sequence[Step]
    unknown_from: float | None = None
    reason: str = ""


def infer(recording: Recording) -> Script:
    """Everything that a client did, as far as the recording tells."""
    notes = [entry for entry in recording.timeline if entry.resource == "action"]
    steps = [*_applied(recording, notes)]
    unknown: tuple[float, str] | None = None
    for note in notes:
        found = [*_noted(note, recording)]
        steps += found
        if not found and not _text(note).startswith("create"):
            unknown = unknown or (note.t, f"the recording does not say how to repeat: {_text(note)}")
    if not any(_DELETE.search(_text(note)) or _EVICT.search(_text(note)) for note in notes):
        steps += _deleted(recording)
    steps.sort(key=lambda step: step.t)
    if unknown is None:
        return Script(steps)
    return Script([step for step in steps if step.t <= unknown[0]], *unknown)


def _text(note: Entry) -> str:
    return str(note.object.get("action", ""))


def _applied(recording: Recording, notes: Sequence[Entry]) -> Iterator[Step]:
    for obj in recording.manifest:
        kind, name = obj["kind"], obj["metadata"]["name"]
        t = _noted_creation(notes, kind, name)
        if t is None:
            t = _first_seen(recording, f"{kind.lower()}s", name)
        yield Step(t if t is not None and t > _AT_ONCE_SECONDS else 0.0, "apply", kind, name, object=obj)


def _noted_creation(notes: Sequence[Entry], kind: str, name: str) -> float | None:
    for note in notes:
        text = _text(note)
        if text.startswith("create") and (kind.lower(), name) in _CREATE.findall(text):
            return note.t
    return None


def _first_seen(recording: Recording, plural: str, name: str) -> float | None:
    for entry in recording.timeline:
        if entry.resource == plural and (entry.object.get("metadata") or {}).get("name") == name:
            return entry.t
    return None


def _noted(note: Entry, recording: Recording) -> Iterator[Step]:
    text = _text(note)
    if match := _DELETE.search(text):
        yield Step(note.t, "delete", match["kind"], match["name"], match["grace"] or "")
    elif match := _EVICT.search(text):
        grace = _eviction_grace(recording, match["name"])
        yield Step(note.t, "evict", "Pod", match["name"], grace)
    elif match := _SCALE.search(text):
        deployment = next(obj for obj in recording.manifest if obj["kind"] == "Deployment")
        yield Step(note.t, "scale", "Deployment", deployment["metadata"]["name"], match["replicas"])
    elif match := _UPDATE.search(text):
        yield from _updated(note, match, recording)
    elif match := _UNDO.search(text):
        deployment = next(obj for obj in recording.manifest if obj["kind"] == "Deployment")
        yield Step(note.t, "undo", "Deployment", deployment["metadata"]["name"], match["revision"] or "0")
    elif match := _KUBELET.fullmatch(text):
        yield Step(note.t, f"{match['what']} kubelet")
    elif match := _CAPACITY.search(text):
        yield Step(note.t, "capacity", "Node", match["resource"], match["value"])


def _updated(note: Entry, match: re.Match[str], recording: Recording) -> Iterator[Step]:
    """A new environment variable; and a new program, where the new pods show that theirs was another."""
    end = min((e.t for e in recording.timeline if e.resource == "action" and e.t > note.t), default=math.inf)
    program = program_between(recording, note.t, end)
    if program is None and not _gets_ready(recording, note.t, end):
        return
    variable = f"{match['key'].upper()}={match['value']}"
    command = {"command": program} if program else {}
    yield Step(note.t, "update", "Deployment", match["name"], variable, command)


def _gets_ready(recording: Recording, since: float, until: float) -> bool:
    """Whether every pod made in a span of time got ready: then only its environment changed, not its program."""
    pods: dict[str, bool] = {}
    for entry in recording.timeline:
        if entry.resource == "pods" and entry.t >= since:
            name = entry.object["metadata"]["name"]
            if (entry.type == "ADDED" and entry.t < until) or name in pods:
                conditions = (entry.object.get("status") or {}).get("conditions") or []
                pods[name] = pods.get(name, False) or any(
                    (c["type"], c["status"]) == ("Ready", "True") for c in conditions
                )
    return bool(pods) and all(pods.values())


def _eviction_grace(recording: Recording, name: str) -> str:
    for entry in recording.timeline:
        metadata = entry.object.get("metadata") or {}
        if entry.resource == "pods" and metadata.get("name") == name and metadata.get("deletionTimestamp"):
            given = _manifest_grace(recording, name)
            grace = metadata.get("deletionGracePeriodSeconds")
            return "" if grace == given else str(grace)
    return ""


def _deleted(recording: Recording) -> Iterator[Step]:
    """Pods of the manifest that somebody deleted, in a recording without notes."""
    mine = {obj["metadata"]["name"] for obj in recording.manifest if obj["kind"] == "Pod"}
    for entry in recording.timeline:
        metadata = entry.object.get("metadata") or {}
        name = metadata.get("name")
        if entry.resource == "pods" and name in mine and (metadata.get("deletionTimestamp") or entry.type == "DELETED"):
            mine.discard(name)
            grace = metadata.get("deletionGracePeriodSeconds")
            same = grace == _manifest_grace(recording, name)
            yield Step(entry.t, "delete", "Pod", name, "" if same or grace is None else str(grace))


def _manifest_grace(recording: Recording, name: str) -> int:
    pod = next(obj for obj in recording.manifest if (obj["kind"], obj["metadata"]["name"]) == ("Pod", name))
    return int(pod["spec"].get("terminationGracePeriodSeconds", 30))
