"""Faults of the network: NetworkFault objects, which the cluster puts into effect and takes back when they go."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from chaoslib.exceptions import ActivityFailed

from clients.kube import CustomResource, KubeClient
from experiments.cluster import failures, kube

_POLL_SECONDS = 0.05
_NETWORK_FAULTS = CustomResource("chaos.gameday.dev", "v1alpha1", "networkfaults", "NetworkFault")


def inject(name: str, namespace: str, spec: Mapping[str, Any], timeout_seconds: float = 10.0) -> dict[str, Any]:
    """Create a NetworkFault, in place of one of the same name, and wait until it is in effect; returns its status.

    The activity fails when the spec is refused, or concerns nothing by the end of the time; no fault is left then.

    Args:
        spec: as in docs/network-faults.md.
    """
    with failures():
        client = kube()
        try:
            client.delete_custom(_NETWORK_FAULTS, namespace, name)
            client.create_custom(_NETWORK_FAULTS, namespace, name, dict(spec))
            status = _await_effect(client, name, namespace, float(timeout_seconds))
            if not status.get("active"):
                client.delete_custom(_NETWORK_FAULTS, namespace, name)
                raise ActivityFailed(f"the NetworkFault {namespace}/{name} is not in effect: {_reasons(status)}")
            return status
        finally:
            client.close()


def remove(name: str, namespace: str) -> bool:
    """Delete a NetworkFault, which ends its effect; False when there is none of that name."""
    with failures():
        client = kube()
        try:
            return client.delete_custom(_NETWORK_FAULTS, namespace, name)
        finally:
            client.close()


def _await_effect(client: KubeClient, name: str, namespace: str, timeout_seconds: float) -> dict[str, Any]:
    """The status as soon as the fault is in effect or was refused, else as it is when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while True:
        found = client.read_custom(_NETWORK_FAULTS, namespace, name)
        status: dict[str, Any] = (found or {}).get("status") or {}
        refused = any(one["type"] == "Accepted" and one["status"] == "False" for one in status.get("conditions") or [])
        if status.get("active") or refused or time.monotonic() >= deadline:
            return status
        pause.wait(_POLL_SECONDS)


def _reasons(status: Mapping[str, Any]) -> str:
    reasons = [one["message"] for one in status.get("conditions") or [] if one["status"] == "False"]
    return "; ".join(reasons) or "nothing has taken notice of it; does the cluster serve NetworkFaults?"
