"""Replays recorded exchanges of a real API server through the Registry, without HTTP in between.

A recording is a list of exchanges {n, request {method, path, query, type, body}, response {status, body}}. What a
real run makes volatile (names, times, versions) is normalised on both sides before the comparison.
"""

from __future__ import annotations

import json
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.resources import BY_PATH, DEPLOYMENTS, NAMESPACES, Resource
from cluster.embedded.store import Store

RECORDINGS = Path(__file__).parent / "recordings"
_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
_PATCH_TYPES = {
    "json-patch": "json",
    "merge-patch": "merge",
    "strategic-merge-patch": "strategic",
    "apply-patch": "apply",
}
_VOLATILE_KEYS = {"uid", "resourceVersion", "clusterIP", "clusterIPs", "nodePort", "timeAdded"}
_LEFT_OUT = {
    "namespace", "creationTimestamp", "managedFields", "fieldsV1", "fieldsType", "finalizers", "dnsPolicy",
    "restartPolicy", "schedulerName", "securityContext",
}  # fmt: skip
_TEXTS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"in record \(\d+\)"), "in record (N)"),
    (re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\""), '-XXXXX"'),
    (re.compile(r"(Bad)-[bcdfghjklmnpqrstvwxz2456789]{5}"), "Bad-XXXXX"),
)


def recording(name: str) -> list[dict[str, Any]]:
    """The exchanges of a recording."""
    exchanges: list[dict[str, Any]] = json.loads((RECORDINGS / f"{name}.json").read_text())
    return exchanges


def new_registry() -> Registry:
    """A registry with the namespaces that the recordings use."""
    addresses = (f"127.96.{n // 250}.{n % 250 + 1}" for n in range(10_000))
    registry = Registry(Store(), service_addresses=lambda: next(addresses))
    for name in ("default", "kube-system", "system"):
        registry.create(NAMESPACES, {"metadata": {"name": name}})
    return registry


class Replay:
    """Sends recorded requests to a registry.

    Args:
        registry: what answers.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.warnings: list[str] = []
        self._versions: dict[str, str] = {}

    def send(self, exchange: dict[str, Any]) -> tuple[int, Any]:
        """The status code and the body that the registry gives to a recorded request."""
        request = exchange["request"]
        match = _PATH.match(request["path"])
        assert match, request["path"]
        resource = BY_PATH[match["group"] or "", match["version"], match["plural"]]
        query = {key: values[0] for key, values in parse_qs(request.get("query") or "").items()}
        self.warnings = []
        try:
            code, body = self._call(resource, match, query, request)
        except ApiError as error:
            return error.code, error.status
        self._learn(exchange["response"].get("body"), body)
        if (request["method"], resource, code) == ("POST", DEPLOYMENTS, 201) and "dryRun" not in query:
            self._number_revision(body)
        return code, body

    def _call(self, resource: Resource, match: re.Match[str], query: dict[str, str], request: Any) -> tuple[int, Any]:
        method, body = request["method"], self._current(request.get("body"))
        namespace, name, subresource = match["namespace"] or "", match["name"] or "", match["subresource"] or ""
        options = {"field_manager": query.get("fieldManager", request["manager"]), "dry_run": "dryRun" in query}
        checked = {"field_validation": query.get("fieldValidation", ""), "warnings": self.warnings}
        if method == "GET":
            return 200, self._get(resource, namespace, name, subresource, query)
        if method == "DELETE":
            return 200, self._delete(resource, namespace, name, query, body)
        if method == "PATCH":
            patch_type = _PATCH_TYPES[request["type"].removeprefix("application/").partition("+")[0]]
            known = self.registry.exists(resource, namespace, name)
            if patch_type == "apply":
                options["field_manager"] = query.get("fieldManager", "")
            force = {"force": query.get("force", "false") != "false"}
            patched = self.registry.patch(
                resource, namespace, name, body, patch_type=patch_type, subresource=subresource,
                **options, **checked, **force,
            )  # fmt: skip
            return (200 if known else 201), patched
        metadata = {"namespace": namespace, **(body.get("metadata") or {})} if namespace else body.get("metadata", {})
        body = {**body, "metadata": metadata}
        if subresource in ("binding", "eviction"):
            call = self.registry.bind if subresource == "binding" else self.registry.evict
            return 201, call(namespace, body, dry_run=options["dry_run"])
        if method == "POST":
            return 201, self.registry.create(resource, body, **options, **checked)
        known = self.registry.exists(resource, namespace, name)
        updated = self.registry.update(resource, body, subresource=subresource, **options, **checked)
        return (200 if known else 201), updated

    def _get(self, resource: Resource, namespace: str, name: str, subresource: str, query: dict[str, str]) -> Any:
        if subresource == "scale":
            return self.registry.get_scale(resource, namespace, name)
        if name:
            return self.registry.get(resource, namespace, name)
        selectors = query.get("labelSelector", ""), query.get("fieldSelector", "")
        return self.registry.list(resource, namespace if resource.namespaced and namespace else None, *selectors)

    def _delete(self, resource: Resource, namespace: str, name: str, query: dict[str, str], body: Any) -> Any:
        body = body or {}
        grace = query.get("gracePeriodSeconds", body.get("gracePeriodSeconds"))
        preconditions = body.get("preconditions") or {}
        return self.registry.delete(
            resource,
            namespace,
            name,
            grace_period_seconds=None if grace is None else int(grace),
            propagation=query.get("propagationPolicy", body.get("propagationPolicy")),
            uid=preconditions.get("uid", ""),
            resource_version=preconditions.get("resourceVersion", ""),
            dry_run="dryRun" in query,
        )

    def _number_revision(self, deployment: dict[str, Any]) -> None:
        """What the deployment controller does to a new Deployment; later requests build on it."""
        metadata = deployment["metadata"]
        self.registry.patch(
            DEPLOYMENTS,
            metadata["namespace"],
            metadata["name"],
            {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}},
            patch_type="merge",
            subresource="status",
            field_manager="kube-controller-manager",
        )

    def _learn(self, recorded: Any, ours: Any) -> None:
        """Remember which of our uids and versions plays the part of a recorded one."""
        if isinstance(recorded, dict) and isinstance(ours, dict) and "metadata" in recorded:
            if address := (recorded.get("spec") or {}).get("clusterIP"):
                self._versions[address] = ours["spec"].get("clusterIP", address)
            for key in ("uid", "resourceVersion"):
                if key in recorded["metadata"] and key in ours.get("metadata", {}):
                    self._versions[recorded["metadata"][key]] = ours["metadata"][key]

    def _current(self, body: Any) -> Any:
        """A request body with our uids and versions in place of the recorded ones."""
        if isinstance(body, dict):
            return {key: self._current(value) for key, value in body.items()}
        if isinstance(body, str):
            return self._versions.get(body, body)
        return [self._current(item) for item in body] if isinstance(body, list) else body


def normalised(value: Any) -> Any:
    """A body without what differs from run to run."""
    if isinstance(value, dict):
        return {key: _normalised_field(key, item) for key, item in value.items() if key not in _VOLATILE_KEYS}
    if isinstance(value, list):
        return [normalised(item) for item in value]
    if isinstance(value, str):
        for pattern, text in _TEXTS:
            value = pattern.sub(text, value)
    return value


def without_untold(ours: Any, recorded: Any) -> Any:
    """Our body without the parts that a recording left out to be shorter, and that are no patch's business."""
    if isinstance(ours, dict) and isinstance(recorded, dict):
        kept = (key for key in ours if key in recorded or key not in _LEFT_OUT)
        return {key: without_untold(ours[key], recorded.get(key)) for key in kept}
    if isinstance(ours, list) and isinstance(recorded, list):
        pairs = zip_longest(ours, recorded[: len(ours)])
        return [without_untold(item, told) for item, told in pairs]
    return ours


def without_controllers(body: Any) -> Any:
    """A body without what controllers, which do not run here, write into it: status and the revision."""
    if not isinstance(body, dict) or body.get("kind") not in ("Deployment", "ReplicaSet"):
        return body
    metadata = dict(body["metadata"])
    told = {k: v for k, v in metadata.pop("annotations", {}).items() if k != "deployment.kubernetes.io/revision"}
    entries = [e for e in metadata.pop("managedFields", ()) if e["manager"] != "kube-controller-manager"]
    extra = {key: value for key, value in (("annotations", told), ("managedFields", entries)) if value}
    return {**{k: v for k, v in body.items() if k != "status"}, "metadata": {**metadata, **extra}}


def _normalised_field(key: str, value: Any) -> Any:
    if key.endswith(("Timestamp", "Time")) and value is not None:
        return "TIME"
    if key == "managedFields":
        entries = [{**e, "time": "TIME"} for e in value]
        return sorted(entries, key=lambda e: (e["operation"], e["manager"], e.get("subresource", "")))
    return normalised(value)


__all__ = [
    "RECORDINGS",
    "Replay",
    "new_registry",
    "normalised",
    "recording",
    "without_controllers",
    "without_untold",
]
