"""Kubernetes objects as plain JSON, with errors that say what to do.

A thin layer over the official client: it takes the kubeconfig rules, TLS and tokens from there, and leaves its
model classes aside, so that what comes out is what the API server said (camelCase keys, nothing dropped).
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from clients.errors import Conflict, EnvironmentUnusable, InputError, OperationFailed

JsonObject = dict[str, Any]

REQUEST_TIMEOUT_SECONDS = 10.0

# resource -> (API class, stem of its methods)
_RESOURCES = {
    "configmaps": ("CoreV1Api", "config_map"),
    "daemonsets": ("AppsV1Api", "daemon_set"),
    "deployments": ("AppsV1Api", "deployment"),
    "endpointslices": ("DiscoveryV1Api", "endpoint_slice"),
    "events": ("CoreV1Api", "event"),
    "horizontalpodautoscalers": ("AutoscalingV2Api", "horizontal_pod_autoscaler"),
    "jobs": ("BatchV1Api", "job"),
    "leases": ("CoordinationV1Api", "lease"),
    "namespaces": ("CoreV1Api", "namespace"),
    "nodes": ("CoreV1Api", "node"),
    "persistentvolumeclaims": ("CoreV1Api", "persistent_volume_claim"),
    "poddisruptionbudgets": ("PolicyV1Api", "pod_disruption_budget"),
    "pods": ("CoreV1Api", "pod"),
    "replicasets": ("AppsV1Api", "replica_set"),
    "secrets": ("CoreV1Api", "secret"),
    "serviceaccounts": ("CoreV1Api", "service_account"),
    "services": ("CoreV1Api", "service"),
    "statefulsets": ("AppsV1Api", "stateful_set"),
}
_CLUSTER_SCOPED = ("namespaces", "nodes")


@dataclass(frozen=True, slots=True)
class CustomResource:
    """A namespaced resource that no typed API of the client knows."""

    group: str
    version: str
    plural: str
    kind: str


class KubeClient:
    """Reads, watches and patches objects of one cluster.

    Args:
        kubeconfig: a kubeconfig file; None means `$KUBECONFIG`, then `~/.kube/config`, then the pod's service
        account. context: a context of that file; None means its current one.

    Raises:
        InputError: when the file, or the context in it, is missing or unreadable.
    """

    def __init__(self, kubeconfig: Path | None = None, context: str | None = None) -> None:
        self._client = _untyped("kubernetes.client")
        self._api = self._client.ApiClient(_configuration(kubeconfig, context))
        self.server = str(self._api.configuration.host)

    def list_objects(
        self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[JsonObject]:
        """Objects of a resource (`pods`, `deployments`, ...), in one namespace or in all of them."""
        api, stem = self._resource(resource)
        if resource in _CLUSTER_SCOPED:
            method = f"list_{stem}"
        else:
            method = f"list_namespaced_{stem}" if namespace else f"list_{stem}_for_all_namespaces"
        given = {"label_selector": labels, "field_selector": fields}
        if resource not in _CLUSTER_SCOPED:
            given["namespace"] = namespace or ""
        found = self._call(getattr(api, method), {k: v for k, v in given.items() if v})
        items: list[JsonObject] = found.get("items") or []
        return items

    def read(self, resource: str, namespace: str, name: str) -> JsonObject | None:
        """One object, or None if there is none of that name. A cluster-scoped one has no namespace ("")."""
        found: JsonObject | None = self._call(
            self._method("read", resource), _where(resource, namespace, name), missing_ok=True
        )
        return found

    def create(self, resource: str, namespace: str, body: JsonObject) -> JsonObject:
        """Create an object.

        Raises:
            Conflict: there is one of that name.
        """
        given = {**_where(resource, namespace), "body": body}
        created: JsonObject = self._call(self._method("create", resource), given)
        return created

    def delete(
        self, resource: str, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> bool:
        """Delete an object; False if there is none of that name.

        Args:
            uid: only the object with this UID.
            grace_seconds: instead of the object's own grace period.

        Raises:
            Conflict: the name belongs to another object by now.
        """
        options: JsonObject = {}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        given = {**_where(resource, namespace, name), "body": options}
        return self._call(self._method("delete", resource), given, missing_ok=True) is not None

    def logs(self, namespace: str, pod: str, container: str, *, previous: bool = False, tail_lines: int = 100) -> str:
        """The last lines of a container's log, or of its previous instance's; empty where there is none."""
        given = {"name": pod, "namespace": namespace, "container": container}
        options = {"previous": previous, "tail_lines": tail_lines}
        read = self._client.CoreV1Api(self._api).read_namespaced_pod_log
        try:
            answer = read(**given, **options, _preload_content=False, _request_timeout=REQUEST_TIMEOUT_SECONDS)
            return bytes(answer.data).decode("utf-8", "replace")
        except Exception as error:
            if getattr(error, "status", None) in (400, 404):
                return ""
            raise self._explained(error) from error

    def merge_patch(self, resource: str, namespace: str, name: str, body: JsonObject) -> JsonObject:
        """Change one object by a JSON merge patch."""
        content_type = "application/merge-patch+json"
        given = {**_where(resource, namespace, name), "body": body, "_content_type": content_type}
        changed: JsonObject = self._call(self._method("patch", resource), given)
        return changed

    def read_custom(self, resource: CustomResource, namespace: str, name: str) -> JsonObject | None:
        """One custom object, or None if there is none of that name."""
        given = {**_custom(resource, namespace), "name": name}
        found: JsonObject | None = self._call(self._custom.get_namespaced_custom_object, given, missing_ok=True)
        return found

    def create_custom(self, resource: CustomResource, namespace: str, name: str, spec: JsonObject) -> JsonObject:
        """Create a custom object."""
        body = {
            "apiVersion": f"{resource.group}/{resource.version}",
            "kind": resource.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        given = {**_custom(resource, namespace), "body": body}
        created: JsonObject = self._call(self._custom.create_namespaced_custom_object, given)
        return created

    def delete_custom(self, resource: CustomResource, namespace: str, name: str) -> bool:
        """Delete a custom object; False if there is none of that name."""
        given = {**_custom(resource, namespace), "name": name}
        return self._call(self._custom.delete_namespaced_custom_object, given, missing_ok=True) is not None

    def watch(self, resource: str, namespace: str, *, labels: str = "", timeout_seconds: float) -> Iterator[JsonObject]:
        """The objects of a resource as they are, and again whenever they change, until the time is over.

        An empty namespace means all of them.
        """
        api, stem = self._resource(resource)
        method = getattr(api, f"list_namespaced_{stem}" if namespace else f"list_{stem}_for_all_namespaces")
        given = {**({"namespace": namespace} if namespace else {}), **({"label_selector": labels} if labels else {})}
        seconds = max(1, round(timeout_seconds))
        options = {"watch": True, "timeout_seconds": seconds, "_preload_content": False}
        try:
            response = method(**given, **options, _request_timeout=seconds + REQUEST_TIMEOUT_SECONDS)
            try:
                for line in _lines(response):
                    event = json.loads(line)
                    if event["type"] not in ("BOOKMARK", "ERROR"):
                        yield event["object"]
            finally:
                response.close()
        except Exception as error:
            raise self._explained(error) from error

    def clock_ahead_seconds(self) -> float:
        """How far this machine's clock is ahead of the API server's, by the Date of an answer (whole seconds)."""
        before = datetime.now(UTC)
        try:
            answer = self._api.call_api("GET", f"{self.server}/version", header_params={}, _request_timeout=5)
            stamp = answer.headers.get("Date", "")
        except Exception as error:
            raise self._explained(error) from error
        if not stamp:
            return 0.0
        middle = before + (datetime.now(UTC) - before) / 2
        return (middle - parsedate_to_datetime(stamp)).total_seconds() - 0.5  # Date is cut off to whole seconds

    def close(self) -> None:
        """Close the connections. The object must not be used afterwards."""
        self._api.close()

    @property
    def _custom(self) -> Any:
        return self._client.CustomObjectsApi(self._api)

    def _method(self, verb: str, resource: str) -> Callable[..., Any]:
        api, stem = self._resource(resource)
        name = f"{verb}_{stem}" if resource in _CLUSTER_SCOPED else f"{verb}_namespaced_{stem}"
        method: Callable[..., Any] = getattr(api, name)
        return method

    def _resource(self, resource: str) -> tuple[Any, str]:
        api, stem = _RESOURCES[resource]
        return getattr(self._client, api)(self._api), stem

    def _call(self, method: Callable[..., Any], given: dict[str, Any], *, missing_ok: bool = False) -> Any:
        try:
            answer = method(**given, _preload_content=False, _request_timeout=REQUEST_TIMEOUT_SECONDS)
            return json.loads(answer.data)
        except Exception as error:
            if missing_ok and getattr(error, "status", None) == 404:
                return None
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> Exception:
        """Our error for what the client or the network raised; anything else is a bug and stays what it is."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        if isinstance(error, ApiException):
            return _api_error(error, self.server)
        if isinstance(error, urllib3.exceptions.HTTPError | OSError):
            remedy = "is the cluster up, and is this its kubeconfig?"
            return EnvironmentUnusable(f"the cluster cannot be reached: {error}", where=self.server, remedy=remedy)
        return error


def _where(resource: str, namespace: str, name: str = "") -> dict[str, Any]:
    where = {} if resource in _CLUSTER_SCOPED else {"namespace": namespace}
    return {**where, "name": name} if name else where


def _custom(resource: CustomResource, namespace: str) -> dict[str, Any]:
    return {
        "group": resource.group,
        "version": resource.version,
        "plural": resource.plural,
        "namespace": namespace,
    }


def _configuration(kubeconfig: Path | None, context: str | None) -> Any:
    from kubernetes.config.config_exception import ConfigException

    config = _untyped("kubernetes.config")
    configuration = _untyped("kubernetes.client").Configuration()
    if kubeconfig is None and not os.environ.get("KUBECONFIG") and _in_cluster():
        config.load_incluster_config(client_configuration=configuration)
    else:
        where = str(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        if kubeconfig is not None and not kubeconfig.is_file():
            raise InputError("there is no such kubeconfig file", where=where, remedy="check --kubeconfig")
        try:
            file = str(kubeconfig) if kubeconfig else None
            config.load_kube_config(config_file=file, context=context, client_configuration=configuration)
        except ConfigException as error:
            problem = f"the kubeconfig cannot be used: {error}"
            raise InputError(problem, where=where, remedy="give --kubeconfig FILE, and --context if needed") from None
        except Exception as error:
            problem = f"the kubeconfig cannot be read: {' '.join(str(error).split())}"
            raise InputError(problem, where=where, remedy="give a valid kubeconfig file") from error
    configuration.retries = False
    return configuration


def _lines(response: Any) -> Iterator[bytes]:
    """The lines of a streamed answer, as they come."""
    pending = b""
    for chunk in response.stream(amt=None, decode_content=False):
        *complete, pending = (pending + chunk).split(b"\n")
        yield from (line for line in complete if line.strip())


def _untyped(module: str) -> Any:
    """A module of the client, which has no types. Imported late: it takes a third of a second."""
    return importlib.import_module(module)


def _in_cluster() -> bool:
    in_pod = Path("/var/run/secrets/kubernetes.io/serviceaccount/token").is_file()
    return in_pod and not (Path.home() / ".kube" / "config").is_file()


def _api_error(error: Any, server: str) -> Exception:
    if error.status in (401, 403):
        remedy = "check the token and the roles of the kubeconfig's user"
        return EnvironmentUnusable(
            f"the API server refused us ({error.status}): {_message(error)}", where=server, remedy=remedy
        )
    if not error.status:
        return EnvironmentUnusable(
            f"the cluster cannot be reached: {error.reason}", where=server, remedy="is the cluster up?"
        )
    if error.status == 409:
        return Conflict(f"somebody else was first: {_message(error)}", where=server)
    return OperationFailed(f"the API server answered {error.status}: {_message(error)}", where=server)


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
