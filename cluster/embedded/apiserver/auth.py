"""The cluster's own token, and kubeconfigs for it and for other tokens."""

from __future__ import annotations

import base64
import json
import secrets

ALWAYS_ALLOWED = ("/healthz", "/livez", "/readyz")
"""What everyone may ask for, whatever the roles say (a real server's --authorization-always-allow-paths)."""


def new_token() -> str:
    """A fresh bearer token (256 bits)."""
    return secrets.token_urlsafe(32)


def kubeconfig(server_url: str, ca_pem: str | None, token: str, name: str) -> str:
    """A kubeconfig for the cluster (JSON, which is YAML). It contains the token: write it with mode 0600."""
    cluster: dict[str, str] = {"server": server_url}
    if ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return json.dumps(config, indent=2) + "\n"
