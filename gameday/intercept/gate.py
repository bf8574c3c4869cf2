"""The remediation's way to the world during a run: through the recording proxy, as the account that the chart ships."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from clients.errors import EnvironmentUnusable
from cluster.embedded.apiserver.tls import CertificateAuthority, write_private, write_tls_files
from gameday.intercept.calls import Call
from gameday.intercept.proxy import Disturb, Interceptor, Upstream
from remediation.model import Target

ACCOUNT = "remediation"
TOKEN_SECONDS = 6 * 3600


class Gate:
    """A kubeconfig and a target that lead through the proxy, and every call that came that way.

    Args:
        kubeconfig: of the cluster, with the rights to ask for the account's token.
        namespace: where the account lives.
        told: called with every call, from another thread.
        disturb: asked before a call is passed on (see `Disturbance`).
    """

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        told: Callable[[Call], None] = lambda _: None,
        disturb: Disturb = lambda _: None,
    ) -> None:
        self.calls: list[Call] = []
        self.identity = ""
        self._source = kubeconfig
        self._namespace = namespace
        self._listener = told
        self._lock = threading.Lock()
        self._interceptor = Interceptor(self._told, disturb)
        self._folder = tempfile.TemporaryDirectory(prefix="gameday-gate-")
        self._urls: dict[str, str] = {}

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig that leads through the proxy; it exists between `open` and `close`."""
        return Path(self._folder.name) / "kubeconfig"

    def open(self) -> None:
        """Start the proxy before the API server.

        Raises:
            EnvironmentUnusable: the cluster does not answer.
        """
        self._interceptor.start()
        configuration = client.Configuration()
        config.load_kube_config(str(self._source), client_configuration=configuration)
        with client.ApiClient(configuration) as api:
            authorization = self._authorization(api)
        token = secrets.token_urlsafe(24)
        upstream = Upstream("kubernetes", configuration.host, authorization, _tls(configuration), token)
        authority = CertificateAuthority("vllm-gameday gate")
        files = write_tls_files(Path(self._folder.name), "gate", authority.server("gate", "127.0.0.1"), authority.pem)
        url = self._interceptor.serve(upstream, files.context())  # clients send tokens over TLS only
        write_private(self.kubeconfig, yaml.safe_dump(_kubeconfig(url, authority.pem, token, self._namespace)))

    def close(self) -> None:
        """Stop the proxy and remove the kubeconfig."""
        self._interceptor.stop()
        self._folder.cleanup()

    def through(self, target: Target) -> Target:
        """The same target, with registry and router behind the proxy."""
        return replace(
            target,
            registry_url=self._behind("registry", target.registry_url),
            router_url=self._behind("router", target.router_url),
        )

    def named_as_outside(self, text: str) -> str:
        """A text with the proxy's addresses replaced by what they stand for."""
        for outside, inside in self._urls.items():
            text = text.replace(inside, outside)
        return text

    def disturb_with(self, disturb: Disturb) -> None:
        """Disturb calls from now on."""
        self._interceptor.disturb = disturb

    def since(self, at_seconds: float) -> list[Call]:
        """The calls since a moment (monotonic seconds)."""
        with self._lock:
            return [call for call in self.calls if call.at_seconds >= at_seconds]

    def _behind(self, surface: str, url: str) -> str:
        if url and url not in self._urls:
            self._urls[url] = self._interceptor.serve(Upstream(surface, url))
        return self._urls.get(url, "")

    def _told(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)
        self._listener(call)

    def _authorization(self, api: client.ApiClient) -> dict[str, str]:
        """The account's own token where the chart has made the account; else what the kubeconfig has."""
        request: Any = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
        try:
            made: Any = client.CoreV1Api(api).create_namespaced_service_account_token(
                ACCOUNT, self._namespace, request, _preload_content=False
            )
        except client.ApiException as error:
            if error.status != 404:
                problem = f"no token for the account {ACCOUNT}: {error.status} {error.reason}"
                raise EnvironmentUnusable(problem, where=f"namespace {self._namespace}") from error
            self.identity = "the kubeconfig's own user"
            own = api.configuration.auth_settings().get("BearerToken")
            return {"Authorization": own["value"]} if own else {}
        self.identity = f"ServiceAccount {self._namespace}/{ACCOUNT}"
        return {"Authorization": f"Bearer {json.loads(made.data)['status']['token']}"}


def _tls(configuration: client.Configuration) -> ssl.SSLContext | None:
    """How to trust the API server, and to identify by certificate where the kubeconfig does."""
    if not configuration.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _kubeconfig(url: str, authority_pem: str, token: str, namespace: str) -> dict[str, Any]:
    named, trusted = {"name": "gameday"}, base64.b64encode(authority_pem.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{**named, "cluster": {"server": url, "certificate-authority-data": trusted}}],
        "users": [{**named, "user": {"token": token}}],
        "contexts": [{**named, "context": {"cluster": "gameday", "user": "gameday", "namespace": namespace}}],
        "current-context": "gameday",
    }
