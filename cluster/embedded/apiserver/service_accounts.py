"""The ServiceAccount admission plugin: every pod runs as an account, and gets its credentials as a volume."""

from __future__ import annotations

from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.defaulting import containers_of
from cluster.embedded.apiserver.names import generate, shown_name
from cluster.embedded.resources import PODS, SERVICE_ACCOUNTS, Object
from cluster.embedded.store import NotFound, Store

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
