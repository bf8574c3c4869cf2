"""Who may call: everyone may ask for health and version, everything else needs the cluster's bearer token."""

from __future__ import annotations

import base64
import hmac
import json
import secrets

PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")


def new_token() -> str:
    """A fresh bearer token (256 bits)."""
    return secrets.token_urlsafe(32)


def is_public(path: str) -> bool:
    """Whether the path is served without a token: health endpoints (and single checks below them) and version."""
    return any(path == public or path.startswith(f"{public}/") for public in PUBLIC_PATHS)


def is_authorized(authorization: str, token: str) -> bool:
    """Whether an Authorization header carries the token; takes the same time for every wrong token."""
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


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
