"""Faults that come with a Helm release: a bad upgrade, and its undoing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chaoslib.exceptions import ActivityFailed

from clients.errors import GamedayError
from clients.helm import HelmClient, Revision, merge, stored_chart
from clients.kube import KubeClient
from experiments.cluster import kubeconfig

_MARK = "gameday fault: "


def set_values(release: str, namespace: str, values: Mapping[str, Any], fault: str) -> dict[str, Any]:
    """Upgrade a release with some values changed and everything else kept, without waiting for readiness.

    The new revision's description names the fault, so that `restore` finds what was there before it.
    """
    try:
        helm = HelmClient(kubeconfig(), namespace)
        current = _latest(helm, release)
        with TemporaryDirectory(prefix="gameday-chart-") as folder:
            chart = stored_chart(_release_secret(release, namespace, current.number), Path(folder))
            helm.upgrade(chart, release, merge(helm.values(release), values), description=f"{_MARK}{fault}")
        return {"release": release, "before": current.number, "values": dict(values)}
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error


def restore(release: str, namespace: str, fault: str, timeout_seconds: int) -> dict[str, Any]:
    """Bring a release back to the values it had before the fault; does nothing when it has them already."""
    try:
        helm = HelmClient(kubeconfig(), namespace)
        history = helm.history(release)
        marked = [r.number for r in history if r.description == f"{_MARK}{fault}"]
        if not marked:
            return {"restored": False, "reason": "no revision of this fault"}
        before = max(r.number for r in history if r.number < marked[-1] and not r.description.startswith(_MARK))
        if helm.values(release) == helm.values(release, revision=before) and history[-1].status == "deployed":
            return {"restored": False, "reason": f"the values are those of revision {before}"}
        helm.rollback(release, before, wait_seconds=timeout_seconds)
        return {"restored": True, "revision": before}
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error


def _latest(helm: HelmClient, release: str) -> Revision:
    history = helm.history(release)
    if not history:
        raise ActivityFailed(f"there is no release {release!r}")
    return history[-1]


def _release_secret(release: str, namespace: str, revision: int) -> bytes:
    kube = KubeClient(kubeconfig())
    name = f"sh.helm.release.v1.{release}.v{revision}"
    with kube.errors(f"secret {namespace}/{name}"):
        secret = kube.core.read_namespaced_secret(name, namespace)
    data: str = secret.data["release"]
    return data.encode()
