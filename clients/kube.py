"""Kubernetes through the official client: one API client per user, errors in our own words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from clients.errors import EnvironmentUnusable, InputError, OperationFailed

REQUEST_SECONDS = 10.0


class KubeClient:
    """A connection to one cluster.

    Args:
        kubeconfig: the file to read.
        context: a context in it; the current one by default.

    Raises InputError when the file is missing or no kubeconfig. Methods raise EnvironmentUnusable when the cluster cannot
    be reached or does not know the token, and OperationFailed when it says no.
    """

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        if not kubeconfig.is_file():
            raise InputError(
                "there is no kubeconfig", where=str(kubeconfig), remedy="give --kubeconfig, or set KUBECONFIG"
            )
        try:
            self.api: client.ApiClient = config.new_client_from_config(config_file=str(kubeconfig), context=context)
        except (config.ConfigException, yaml.YAMLError, AttributeError, TypeError) as error:
            raise InputError(
                f"not a usable kubeconfig: {error}", where=str(kubeconfig), remedy="check the file and the context"
            ) from error
        self.kubeconfig = kubeconfig
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.discovery = client.DiscoveryV1Api(self.api)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Translate the errors of calls made inside."""
        try:
            yield
        except client.ApiException as error:
            if error.status in (401, 403):
                raise EnvironmentUnusable(
                    f"the cluster refused the credentials: {error.reason}",
                    where=str(self.kubeconfig),
                    remedy="use a kubeconfig with a valid token",
                ) from error
            raise OperationFailed(f"{error.status} {error.reason}", where=what) from error
        except (HTTPError, OSError) as error:
            raise EnvironmentUnusable(
                f"the cluster cannot be reached: {type(error).__name__}",
                where=str(self.kubeconfig),
                remedy="is it running? try: gameday cluster status",
            ) from error

    def plain(self, obj: Any) -> dict[str, Any]:
        """A typed object as the JSON that the API sends."""
        result: dict[str, Any] = self.api.sanitize_for_serialization(obj)
        return result

    def service_url(self, namespace: str, name: str, port: int) -> str:
        """``http://CLUSTERIP:PORT`` of a Service. Raises OperationFailed when there is none."""
        with self.errors(f"service {namespace}/{name}"):
            service = self.core.read_namespaced_service(name, namespace, _request_timeout=REQUEST_SECONDS)
        return f"http://{service.spec.cluster_ip}:{port}"

    def secret(self, namespace: str, name: str, key: str) -> str:
        """One value of a Secret. Raises OperationFailed when it is not there."""
        with self.errors(f"secret {namespace}/{name}"):
            secret = self.core.read_namespaced_secret(name, namespace, _request_timeout=REQUEST_SECONDS)
        if key not in (secret.data or {}):
            raise OperationFailed(f"the Secret has no key {key!r}", where=f"secret {namespace}/{name}")
        return base64.b64decode(secret.data[key]).decode()


ROUTER_SERVICE, ROUTER_PORT = "api-router", 8080
REGISTRY_SERVICE, REGISTRY_PORT = "model-registry", 8081


def router_access(kube: KubeClient, namespace: str) -> tuple[str, str]:
    """The router's URL and an API key for it, found in the cluster."""
    keys = kube.secret(namespace, "api-router-keys", "keys")
    return kube.service_url(namespace, ROUTER_SERVICE, ROUTER_PORT), keys.split(",")[0].strip()


def registry_access(kube: KubeClient, namespace: str) -> tuple[str, str]:
    """The registry's URL and its admin token, found in the cluster."""
    token = kube.secret(namespace, "model-registry-admin", "token")
    return kube.service_url(namespace, REGISTRY_SERVICE, REGISTRY_PORT), token
