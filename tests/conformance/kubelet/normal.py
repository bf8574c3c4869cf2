"""Takes out of an object what differs from run to run, and leaves what a kubelet decides.

What varies: uids, resourceVersions, times, IDs of containers and images, addresses, generated names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.embedded.resources import Object
from tests.conformance.kubelet.recording import Entry

_PATTERNS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "<time>"),
    (re.compile(r"\b\d+\.\d+\.\d+\.\d+\b"), "<ip>"),
    (re.compile(r"<ip>:\d+->"), "<ip>:<port>->"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-<x>"),
)
_GENERATED = re.compile(r"-[a-z0-9]{5}$")
_REPEATED = (("BackOff", ""), ("Failed", "Error: ImagePullBackOff"))
"""Reason and message of events that a kubelet repeats whenever it looks at the pod again."""


def text(message: str, names: Mapping[str, str]) -> str:
    """A message without what varies; generated names as ``names`` has them."""
    for ours, theirs in sorted(names.items(), key=lambda pair: -len(pair[0])):
        message = message.replace(ours, theirs)
    for pattern, word in _PATTERNS:
        message = pattern.sub(word, message)
    return message


def stream(entry: Entry, names: Mapping[str, str]) -> tuple[str, ...]:
    """Entries of one stream are in order: those of a pod, the events about one object."""
    if entry.resource == "events":
        involved = entry.object["involvedObject"]
        return "events", f"{involved.get('kind')}/{names.get(involved.get('name', ''), involved.get('name'))}"
    name = str(entry.object["metadata"]["name"])
    return entry.resource, names.get(name, name)


def state(entry: Entry, names: Mapping[str, str]) -> Object:
    """What is compared of an entry."""
    if entry.resource == "events":
        return _event(entry, names)
    shown: Object = {"change": entry.type}
    return shown | (_pod(entry.object, names) if entry.resource == "pods" else _workload(entry.object, names))


def is_repeating(state: Object) -> bool:
    """Whether it belongs to a back-off, whose length in the recordings is lengthened by chance."""
    containers = f"{state.get('containers')} {state.get('initContainers')}"
    return bool(state.get("repeated")) or "back-off" in containers.lower()


def _event(entry: Entry, names: Mapping[str, str]) -> Object:
    event = entry.object
    reason, message = event["reason"], event["message"]
    repeated = any(reason == r and message.startswith(m) for r, m in _REPEATED)
    return {
        "change": "" if repeated else entry.type,
        "repeated": repeated,
        "reason": reason,
        "type": event["type"],
        "message": text(message, names),
        "count": None if repeated else event.get("count"),
        "fieldPath": event["involvedObject"].get("fieldPath"),
        "source": source(event),
    }


def source(event: Object) -> str:
    """The component that wrote an event."""
    given = event.get("source")
    if isinstance(given, str):
        return given
    return str((given or {}).get("component") or event.get("reportingComponent") or "")


def endpoint_changes(
    entry: Entry, names: Mapping[str, str], before: dict[str, Object]
) -> Iterator[tuple[tuple[str, ...], Object]]:
    """What an entry changes in a slice: a stream for each endpoint, since pods do not start in any order.

    Args:
        before: the endpoints of every slice so far; brought up to date.
    """
    name = _GENERATED.sub("", str(entry.object["metadata"]["name"]))
    ports = [{k: p.get(k) for k in ("name", "port", "protocol")} for p in entry.object.get("ports") or []]
    yield ("endpointslices", name), {"change": entry.type, "ports": ports}
    now = {
        names.get(target := str((e.get("targetRef") or {}).get("name")), target): e.get("conditions")
        for e in entry.object.get("endpoints") or []
    }
    old = before.get(name, {})
    before[name] = now
    for target in {**old, **now}:
        if old.get(target) != now.get(target):
            yield ("endpointslices", name, target), {"conditions": now.get(target)}


def _pod(pod: Object, names: Mapping[str, str]) -> Object:
    metadata, status = pod["metadata"], pod.get("status") or {}
    return {
        "generation": metadata.get("generation"),
        "deletionGracePeriodSeconds": metadata.get("deletionGracePeriodSeconds"),
        "terminating": bool(metadata.get("deletionTimestamp")),
        **{key: status.get(key) for key in ("phase", "reason", "observedGeneration", "qosClass")},
        "message": text(status.get("message") or "", names),
        "hasAddress": bool(status.get("podIP")),
        "hasHost": bool(status.get("hostIP")),
        "conditions": _conditions(status, names),
        "initContainers": _containers(status.get("initContainerStatuses"), names),
        "containers": _containers(status.get("containerStatuses"), names),
    }


def _conditions(status: Object, names: Mapping[str, str]) -> Object:
    return {
        c["type"]: " ".join(
            str(part) for part in (c["status"], c.get("reason") or "", text(c.get("message") or "", names)) if part
        )
        for c in status.get("conditions") or []
    }


def _containers(statuses: Sequence[Object] | None, names: Mapping[str, str]) -> Object:
    return {
        status["name"]: {
            "state": _container_state(status.get("state"), names),
            "lastState": _container_state(status.get("lastState"), names),
            **{key: status.get(key) for key in ("ready", "started", "restartCount", "image")},
            "hasImage": bool(status.get("imageID")),
            "hasID": bool(status.get("containerID")),
        }
        for status in statuses or []
    }


def _container_state(given: Object | None, names: Mapping[str, str]) -> Any:
    return {
        kind: {
            key: text(value, names) if isinstance(value, str) else value
            for key, value in sorted(content.items())
            if key not in ("startedAt", "finishedAt", "containerID")
        }
        for kind, content in (given or {}).items()
    }


def _workload(obj: Object, names: Mapping[str, str]) -> Object:
    metadata, status = obj["metadata"], obj.get("status") or {}
    counts = {key: value for key, value in sorted(status.items()) if isinstance(value, int)}
    annotations = metadata.get("annotations") or {}
    return {
        "generation": metadata.get("generation"),
        "annotations": {k: v for k, v in sorted(annotations.items()) if not _is_left_out(k)},
        "replicas": (obj.get("spec") or {}).get("replicas"),
        "taints": sorted((t.get("key", ""), t.get("effect", "")) for t in (obj.get("spec") or {}).get("taints") or []),
        "counts": counts,
        "conditions": _conditions(status, names),
    }


def _is_left_out(annotation: str) -> bool:
    """What clients and controllers write that did not run where kubelets were recorded (scope.yaml)."""
    return "last-applied" in annotation or annotation == "node.alpha.kubernetes.io/ttl"
