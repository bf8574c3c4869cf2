"""Faults that come with a Helm release: a bad upgrade, and its undoing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clients.errors import OperationFailed
from clients.helm_release import StoredRelease, decode, merge_values, selector, write_chart
from experiments.cluster import failures, helm, kube

_MARK = "gameday fault: "


def set_values(release: str, namespace: str, values: Mapping[str, Any], fault: str) -> dict[str, Any]:
    """Upgrade a release with some values changed and everything else kept, without waiting for readiness.

    The new revision's description names the fault, so that `restore` finds what was there before it.
    """
    with failures(), helm(namespace) as client, TemporaryDirectory(prefix="gameday-chart-") as folder:
        current = _revisions(release, namespace)[-1]
        chart = write_chart(current, Path(folder))
        wanted = merge_values(current.user_values, values)
        client.upgrade(release, chart, wanted, description=f"{_MARK}{fault}")
        return {"release": release, "before": current.revision, "values": dict(values)}


def restore(release: str, namespace: str, fault: str, timeout_seconds: float) -> dict[str, Any]:
    """Bring a release back to the values it had before the fault; does nothing when it has them already."""
    with failures(), helm(namespace) as client:
        history = _revisions(release, namespace)
        marked = [one.revision for one in history if one.description == f"{_MARK}{fault}"]
        if not marked:
            return {"restored": False, "reason": "no revision of this fault"}
        before = [one for one in history if one.revision < marked[-1] and not one.description.startswith(_MARK)][-1]
        if history[-1].status == "deployed" and history[-1].user_values == before.user_values:
            return {"restored": False, "reason": f"the values are those of revision {before.revision}"}
        client.rollback(release, before.revision, wait_seconds=timeout_seconds)
        return {"restored": True, "revision": before.revision}


def _revisions(release: str, namespace: str) -> list[StoredRelease]:
    """All revisions as Helm stored them, oldest first. Raises OperationFailed when there is none."""
    found = sorted(
        (decode(secret) for secret in kube().list_objects("secrets", namespace, labels=selector(release))),
        key=lambda one: one.revision,
    )
    if not found:
        raise OperationFailed("there is no such release", where=f"release {release} in {namespace}")
    return found
