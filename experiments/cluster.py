"""Which cluster an experiment works on, and what it needs of it: the cluster of KUBECONFIG, as for every tool."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaoslib.exceptions import ActivityFailed

from clients.errors import GamedayError, OperationFailed
from clients.helm import HelmClient
from clients.kube import KubeClient
from clients.registry import RegistryClient
from clients.router import RouterClient


def kubeconfig() -> Path:
    """The kubeconfig in force."""
    return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


@contextmanager
def failures() -> Iterator[None]:
    """Our own errors as Chaos Toolkit's: the activity failed, and the journal says why."""
    try:
        yield
    except GamedayError as error:
        raise ActivityFailed(str(error)) from error


def kube() -> KubeClient:
    """A client of the cluster."""
    return KubeClient(kubeconfig())


def helm(namespace: str) -> HelmClient:
    """Helm in a namespace of the cluster."""
    return HelmClient(namespace, kubeconfig())


def router(namespace: str) -> RouterClient:
    """A client of the platform's router, found in the cluster."""
    keys = _secret(namespace, "api-router-keys", "keys")
    return RouterClient(_service_url(namespace, "api-router"), keys.split(",")[0].strip())


def registry(namespace: str) -> RegistryClient:
    """A client of the platform's registry, found in the cluster."""
    token = _secret(namespace, "model-registry-admin", "token")
    return RegistryClient(_service_url(namespace, "model-registry"), token)


def _service_url(namespace: str, name: str) -> str:
    service = kube().read("services", namespace, name)
    if service is None:
        raise OperationFailed("there is no such Service", where=f"Service {namespace}/{name}")
    spec = service["spec"]
    return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"


def _secret(namespace: str, name: str, key: str) -> str:
    secret = kube().read("secrets", namespace, name)
    if secret is None or key not in (secret.get("data") or {}):
        raise OperationFailed(f"there is no Secret with key {key!r}", where=f"Secret {namespace}/{name}")
    return base64.b64decode(secret["data"][key]).decode()
