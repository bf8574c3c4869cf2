"""Finding a target's surroundings in the cluster, so that release and namespace are all that a person must give."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from clients import helm_release
from clients.errors import GamedayError, InputError
from remediation.http import HttpRegistry
from remediation.model import Target
from remediation.observe import INSTANCE
from remediation.ports import JsonObject, Kube
from remediation.snapshot import RegistryEntry

ROUTER_SERVICE, REGISTRY_SERVICE = "api-router", "model-registry"
ENVIRONMENT_LABEL = "app.kubernetes.io/environment"


@dataclass(frozen=True)
class Wish:
    """What a person said; empty means: find it."""

    release: str
    namespace: str
    environment: str = ""
    model: str = ""
    router_url: str = ""
    registry_url: str = ""
    api_key: str = ""
    chart: Path | None = None


def discover(kube: Kube, wish: Wish) -> Target:
    """Complete a wish from labels, Services, Secrets and the registry's entries.

    Raises:
        InputError: there is neither a Helm release nor a Deployment of that name.
    """
    deployments = kube.list_objects("deployments", wish.namespace, labels=INSTANCE.format(wish.release))
    if not deployments and not _has_history(kube, wish):
        remedy = f"list them with: helm list --all --namespace {wish.namespace}"
        where = f"release {wish.release} in namespace {wish.namespace}"
        raise InputError("there is no such release", where=where, remedy=remedy)
    environment = wish.environment or _label(deployments) or "production"
    registry_url = wish.registry_url or _service_url(kube, wish.namespace, REGISTRY_SERVICE)
    return Target(
        release=wish.release,
        namespace=wish.namespace,
        model=wish.model or _model(wish, environment, registry_url, deployments),
        environment=environment,
        router_url=(wish.router_url or _service_url(kube, wish.namespace, ROUTER_SERVICE)).rstrip("/"),
        registry_url=registry_url.rstrip("/"),
        api_key=wish.api_key or _secret(kube, wish.namespace, "api-router-keys", "keys").split(",")[0].strip(),
        registry_token=_secret(kube, wish.namespace, "model-registry-admin", "token"),
        chart=wish.chart,
    )


def _has_history(kube: Kube, wish: Wish) -> bool:
    return bool(kube.list_objects("secrets", wish.namespace, labels=helm_release.selector(wish.release)))


def _label(deployments: list[JsonObject]) -> str:
    """The environment as the pods' label tells it."""
    for each in deployments:
        labels = each["spec"]["template"].get("metadata", {}).get("labels") or {}
        if value := labels.get(ENVIRONMENT_LABEL):
            return str(value)
    return ""


def _model(wish: Wish, environment: str, registry_url: str, deployments: list[JsonObject]) -> str:
    """From the registry entry whose endpoint is one of the release's Services; else the command line; else the
    name.
    """
    names = {wish.release, *(d["metadata"]["name"] for d in deployments)}
    for entry in _entries(registry_url):
        if entry.environment == environment and entry.endpoint.split(":")[0].split(".")[0] in names:
            return entry.model
    return _served_name(deployments) or wish.release.removesuffix(f"-{environment}")


def _entries(registry_url: str) -> list[RegistryEntry]:
    if not registry_url:
        return []
    try:
        return list(HttpRegistry(registry_url).entries())
    except GamedayError:
        return []


def _served_name(deployments: list[JsonObject]) -> str:
    flag = "--served-model-name"
    for each in deployments:
        for container in each["spec"]["template"]["spec"].get("containers") or ():
            words = [str(w) for w in (*(container.get("command") or ()), *(container.get("args") or ()))]
            for word, following in zip(words, [*words[1:], ""], strict=True):
                if word == flag or word.startswith(f"{flag}="):
                    return following if word == flag else word.removeprefix(f"{flag}=")
    return ""


def _service_url(kube: Kube, namespace: str, name: str) -> str:
    """The cluster address of a Service's first port; empty when there is no such Service."""
    service = kube.read("services", namespace, name)
    if service is None or service["spec"].get("clusterIP") in (None, "", "None"):
        return ""
    return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"


def _secret(kube: Kube, namespace: str, name: str, key: str) -> str:
    secret = kube.read("secrets", namespace, name)
    value = ((secret or {}).get("data") or {}).get(key, "")
    return base64.b64decode(value).decode("utf-8", "replace").strip()
