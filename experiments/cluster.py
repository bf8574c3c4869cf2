"""Which cluster an experiment works on: the one of KUBECONFIG, as for every Kubernetes tool."""

from __future__ import annotations

import os
from pathlib import Path

from chaoslib.exceptions import ActivityFailed
from clients.registry import RegistryClient
from clients.router import RouterClient

from clients.errors import GamedayError
from clients.kube import KubeClient, registry_access, router_access


def kubeconfig() -> Path:
    """The kubeconfig in force."""
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


def kube() -> KubeClient:
    """A client of the cluster. Raises ActivityFailed."""
    try:
        return KubeClient(kubeconfig())
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error


def router(namespace: str) -> RouterClient:
    """A client of the platform's router, found in the cluster. Raises ActivityFailed."""
    try:
        url, api_key = router_access(kube(), namespace)
        return RouterClient(url, api_key)
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error


def registry(namespace: str) -> RegistryClient:
    """A client of the platform's registry, found in the cluster. Raises ActivityFailed."""
    try:
        url, token = registry_access(kube(), namespace)
        return RegistryClient(url, token)
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error
