"""The ServiceAccount admission plugin: every pod runs as an account, and gets its credentials as a volume."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.defaulting import containers_of
from cluster.embedded.apiserver.names import generate, shown_name
from cluster.embedded.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Object
from cluster.embedded.store import NotFound, Store

if TYPE_CHECKING:
    from cluster.embedded.apiserver.registry import Registry

_ACCOUNT_SECONDS = 1.0
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS = 3607
_FILE_MODE = 0o644


def admit_account(store: Store, pod: Object) -> None:
    """Give a new pod its account, in place. Raises ApiError 403 when the account does not exist."""
    spec, namespace = pod["spec"], pod["metadata"].get("namespace", "")
    name = spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = name
    try:
        account = store.get(SERVICE_ACCOUNTS, namespace, name)
    except NotFound:
        problem = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise status.forbidden(PODS, shown_name(pod), problem) from None
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(spec)


async def default_account(registry: Registry, namespace: str, pod: Object) -> None:
    """Wait a moment for the account that every new namespace gets, which a pod may need before it is there."""
    spec, store = pod.get("spec"), registry.store
    named = spec.get("serviceAccountName") if isinstance(spec, dict) else None
    known = registry.exists(SERVICE_ACCOUNTS, namespace, "default")
    if known or named not in (None, "", "default") or not registry.needs_accounts:
        return
    if not registry.exists(NAMESPACES, "", namespace):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ACCOUNT_SECONDS), aclosing(store.watch(SERVICE_ACCOUNTS, store.version)) as changes:
            async for change in changes:
                metadata = change.object["metadata"]
                if (metadata.get("namespace"), metadata["name"]) == (namespace, "default"):
                    return


def _mount_token(spec: dict[str, Any]) -> None:
    without = [
        container
        for container in containers_of(spec)
        if all(mount.get("mountPath") != MOUNT_PATH for mount in container.get("volumeMounts", ()))
    ]
    if not without:
        return
    volume = generate("kube-api-access-")
    for container in without:
        mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*container.get("volumeMounts", ()), mount]
    spec["volumes"] = [*spec.get("volumes", ()), {"name": volume, "projected": _credentials()}]


def _credentials() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": authority},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": _FILE_MODE,
    }
