"""What may be recorded a moment earlier or later than it is here, because controllers and the kubelet write it.

An answer is taken for equal only where

- a read object is exactly, as a whole, what an independent observer saw of it within the last seconds;
- or the client's part (labels, spec, managers ...) of an object is equal in the answer itself, and every value of the
  controllers' part (status, revisions, the node of a pod, ``node.kubernetes.io`` taints) was seen of that object;
- or a list has the same items by these rules, and any item more or less came or went within the last seconds.

A value that never occurs here is a difference in any case; so is an object that stays away, or one that never goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.conformance import normalise
from tests.conformance.api.http import Observer
from tests.conformance.compare import differences

WINDOW_SECONDS = 3.0
_REVISION = "deployment.kubernetes.io/"
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "Python")
_KINDS = (
    "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Pod", "PodDisruptionBudget", "HorizontalPodAutoscaler",
    "Job", "Node", "Scale", "Namespace", "Service",
)  # fmt: skip


class Timing:
    """Answers of one run, judged by what its observer saw."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def explains(self, path: str, recorded: Any, answer: Any, *, is_read: bool) -> bool:
        """Whether a difference is one of time alone.

        Args:
            path: as requested here.
            recorded: the recorded body.
            answer: the body answered here.
            is_read: whether the request changed nothing; what a write answers is not taken from other moments.
        """
        if not isinstance(recorded, dict) or not isinstance(answer, dict):
            return False
        resource, namespace, name = target_of(path)
        if isinstance(recorded.get("items"), list) and isinstance(answer.get("items"), list):
            return is_read and self._list(resource, recorded, answer)
        if answer.get("kind") not in _KINDS or recorded.get("kind") in ("Status", "Table"):
            return False
        key = (resource, namespace, name)
        if is_read and self._was(key, recorded):
            return True
        return _lags(recorded, answer, self._observer.history.get(key, []))

    def has_gone(self, path: str, recorded: Any) -> bool:
        """Whether an object that is not found was, within the last seconds, exactly what was recorded."""
        return isinstance(recorded, dict) and self._was(target_of(path), recorded)

    def _was(self, key: tuple[str, str, str], recorded: Any) -> bool:
        return any(not differences(recorded, version) for version in self._observer.recent(key, WINDOW_SECONDS))

    def _list(self, resource: str, recorded: dict[str, Any], answer: dict[str, Any]) -> bool:
        if not all(_is_same(recorded, answer, key) for key in ("kind", "apiVersion")):
            return False
        left = list(answer["items"])
        for item in recorded["items"]:
            found = next((other for other in left if self._item(resource, item, other)), None)
            if found is not None:
                left.remove(found)
            elif not self._was_listed(resource, item):
                return False
        return all(self._observer.came_or_went(_key(resource, item), WINDOW_SECONDS) for item in left)

    def _item(self, resource: str, recorded: Any, answer: Any) -> bool:
        if not _shape(recorded) or _shape(recorded) != _shape(answer):
            return False
        if not differences(recorded, answer) or self._was(_key(resource, answer), _kinded(recorded, answer)):
            return True
        return _lags(recorded, answer, self._observer.history.get(_key(resource, answer), []))

    def _was_listed(self, resource: str, item: Any) -> bool:
        """An item that has just gone, or comes soon: another object of that name was recently exactly like it."""
        return any(
            self._was(key, {**item, "kind": versions[-1].get("kind"), "apiVersion": versions[-1].get("apiVersion")})
            for key, versions in self._observer.history.items()
            if key[0] == resource and _shape(versions[-1]) == _shape(item)
        )


def _lags(recorded: dict[str, Any], answer: dict[str, Any], versions: list[Any]) -> bool:
    one, other = _client_part(recorded), _client_part(answer)
    return not differences(one, other) and _controlled(recorded) <= {
        entry for version in (answer, *versions) for entry in _controlled(version)
    }


def _client_part(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(obj.get("metadata") or {})
    if "annotations" in metadata:
        annotations = {key: value for key, value in metadata["annotations"].items() if not key.startswith(_REVISION)}
        metadata["annotations"] = annotations
        if not annotations:
            del metadata["annotations"]
    if "managedFields" in metadata:
        entries = [entry for entry in metadata["managedFields"] if entry.get("manager") not in _CONTROLLERS]
        metadata["managedFields"] = entries
    kept = {key: value for key, value in obj.items() if key != "status"}
    if isinstance(obj.get("spec"), dict):
        spec = {key: value for key, value in obj["spec"].items() if key not in ("nodeName", "taints")}
        taints = [
            taint for taint in obj["spec"].get("taints") or [] if not taint["key"].startswith("node.kubernetes.io/")
        ]
        kept["spec"] = {**spec, "taints": taints}
    return {**kept, "metadata": metadata}


def _controlled(obj: Any) -> set[tuple[str, str]]:
    """Paths and values of what controllers write."""
    if not isinstance(obj, dict):
        return set()
    metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith(_REVISION)
    }
    taints = [taint for taint in spec.get("taints") or [] if taint["key"].startswith("node.kubernetes.io/")]
    managers = [entry for entry in metadata.get("managedFields") or [] if entry.get("manager") in _CONTROLLERS]
    part = {
        "status": obj.get("status"),
        "annotations": annotations,
        "nodeName": spec.get("nodeName"),
        "taints": taints,
        "managers": managers,
    }
    return set(_leaves(normalise.value(part), ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            named = inner if isinstance(inner, dict) else {}
            label = next((named[key] for key in ("type", "name", "key", "manager") if named.get(key)), "")
            yield from _leaves(inner, f"{path}[{label}]")
    elif value is not None:
        yield path, json.dumps(value)


def target_of(path: str) -> tuple[str, str, str]:
    """Resource, namespace and name of a path; the name is empty for a collection."""
    parts = [part for part in path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    else:
        namespace = ""
    return rest[0] if rest else "", namespace, rest[1] if len(rest) > 1 else ""


def _key(resource: str, item: Any) -> tuple[str, str, str]:
    metadata = item.get("metadata") or {}
    return resource, metadata.get("namespace") or "", metadata.get("name") or ""


def _shape(item: Any) -> tuple[str, str] | None:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict) or "name" not in metadata:
        return None
    return str(metadata.get("namespace") or ""), normalise.generated(str(metadata["name"]))


def _kinded(item: Any, answer: Any) -> Any:
    """An item as an object of its own: lists leave out the kind of their items, watches do not."""
    return {**{key: answer[key] for key in ("kind", "apiVersion") if key in answer}, **item}


def _is_same(recorded: dict[str, Any], answer: dict[str, Any], key: str) -> bool:
    return bool(recorded.get(key) == answer.get(key))
