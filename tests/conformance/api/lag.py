"""What controllers write into an object that is shown, and may write a moment earlier or later than recorded."""

from __future__ import annotations

from typing import Any

from tests.conformance import normalise
from tests.conformance.compare import differences

_REVISION = "deployment.kubernetes.io/"
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "Python")
_KINDS = ("Deployment", "ReplicaSet", "Pod", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Job", "Node", "Scale")


def only_lags(recorded: Any, answer: Any, versions: list[Any]) -> bool:
    """Whether the client's part of an object is equal and the controllers' part was recorded at another moment.

    Args:
        recorded: the recorded object.
        answer: the object answered here.
        versions: every version of it that the observer saw: each recorded condition has to occur in one of them.
    """
    if not isinstance(recorded, dict) or not isinstance(answer, dict) or answer.get("kind") not in _KINDS:
        return False
    if differences(_client_part(recorded), _client_part(answer)):
        return False
    return _conditions([recorded]) <= _conditions([answer, *versions])


def _client_part(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(obj.get("metadata") or {})
    if "annotations" in metadata:
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if not k.startswith(_REVISION)}
    if "managedFields" in metadata:
        metadata["managedFields"] = [e for e in metadata["managedFields"] if e.get("manager") not in _CONTROLLERS]
    for key in ("annotations", "managedFields"):
        if not metadata.get(key):
            metadata.pop(key, None)
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def _conditions(versions: list[Any]) -> set[tuple[str, ...]]:
    return {
        (c["type"], c["status"], c.get("reason", ""), normalise.text(c.get("message") or ""))
        for version in versions
        for c in (version.get("status") or {}).get("conditions") or []
    }
