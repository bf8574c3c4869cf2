"""Discovery: what the server serves, in the legacy and in the aggregated form, made from the table of resources."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from itertools import groupby
from typing import Any

import orjson

from cluster.embedded.apiserver.conversion import storage_of
from cluster.embedded.apiserver.negotiation import media_types
from cluster.embedded.apiserver.routes import SUBRESOURCES
from cluster.embedded.resources import BINDINGS, REVIEWS, SERVED, Object, Resource

VERSION: dict[str, str] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "$Format:%H$",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
"""The Kubernetes version whose behaviour is served, in the shape of ``/version``."""

Served = tuple[Resource, ...]
"""The resources that a server serves."""

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "", "Binding"),
    "exec": ("", "", "PodExecOptions"),
    "attach": ("", "", "PodAttachOptions"),
    "portforward": ("", "", "PodPortForwardOptions"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}

_PRIORITY = (
    "", "apps", "events.k8s.io", "authentication.k8s.io",
    "authorization.k8s.io", "autoscaling", "batch", "networking.k8s.io", "policy",
    "rbac.authorization.k8s.io", "storage.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io",
)  # fmt: skip
"""The order in which a real server lists its groups; others come last."""


def legacy(parts: tuple[str, ...], address: str, served: Served) -> Object | None:
    """``/api``, ``/apis``, ``/apis/GROUP``, ``/api/v1`` or ``/apis/GROUP/VERSION``; None for anything else."""
    match parts:
        case ("api",):
            cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": cidrs}
        case ("apis",):
            groups = [_group(name, served) for name in _group_names(served) if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ("apis", name) if name in _group_names(served):
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, served)}
        case ("api", version):
            return _resource_list("", version, served)
        case ("apis", name, version) if name in _group_names(served):
            return _resource_list(name, version, served)
        case _:
            return None


def wants_aggregated(accept: str) -> bool:
    """Whether the client asks for APIGroupDiscoveryList v2 before plain JSON."""
    for media, parameters in media_types(accept):
        if media == "application/json":
            if not parameters:
                return False
            if parameters.get("as") == "APIGroupDiscoveryList" and parameters.get("v") == "v2":
                return True
    return False


@cache
def aggregated(root: str, served: Served) -> tuple[bytes, str]:
    """(body, ETag) of the aggregated discovery under ``/api`` or ``/apis``."""
    groups = [name for name in _group_names(served) if bool(name) == (root == "apis")]
    body = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_aggregated_group(name, served) for name in groups],
    }
    data = orjson.dumps(body)
    return data, etag(data)


def etag(data: bytes) -> str:
    """A strong ETag of a document."""
    return f'"{hashlib.sha512(data).hexdigest().upper()}"'


def paths(served: Served) -> list[str]:
    """What ``GET /`` lists."""
    named = [f"/apis/{name}" for name in _group_names(served) if name]
    versioned = [f"/{root}" for root in group_version_roots(served)]
    return sorted({"/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version", *named, *versioned})


def group_version_roots(served: Served = SERVED) -> list[str]:
    """``api/v1``, ``apis/apps/v1``, ..."""
    return sorted({_root(r) for r in served})


def _root(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def resources_under(root: str) -> list[Resource]:
    """The resources of one group version root."""
    return [r for r in SERVED if _root(r) == root]


def served_subresources(resource: Resource) -> list[str]:
    """Those subresources of the resource that this server answers."""
    return sorted(name for name in resource.subresources if name in SUBRESOURCES)


@cache
def _group_names(served: Served) -> tuple[str, ...]:
    known = {r.group for r in served}
    return tuple(sorted(known, key=lambda name: (_PRIORITY.index(name) if name in _PRIORITY else len(_PRIORITY), name)))


def _versions(group: str, served: Served) -> list[str]:
    return sorted({r.version for r in served if r.group == group})


def _group(name: str, served: Served) -> Object:
    versions = [{"groupVersion": f"{name}/{v}", "version": v} for v in _versions(name, served)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _in(group: str, version: str, served: Served) -> list[Resource]:
    found = [r for r in served if (r.group, r.version) == (group, version)]
    return sorted(found, key=lambda r: r.plural)


def _resource_list(group: str, version: str, served: Served) -> Object | None:
    resources = _in(group, version, served)
    if not resources:
        return None
    entries = [entry for resource in resources for entry in _entries(resource)]
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": resources[0].api_version,
        "resources": entries,
    }


def _entries(resource: Resource) -> list[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource not in REVIEWS and resource is not BINDINGS:
        entry["storageVersionHash"] = _storage_version_hash(storage_of(resource))
    return [entry, *(_subresource_entry(resource, name) for name in served_subresources(resource))]


def _storage_version_hash(resource: Resource) -> str:
    """How clients tell that objects are stored in another form now (API reference, APIResource)."""
    digest = hashlib.sha256(f"{resource.group}/{resource.version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _subresource_entry(resource: Resource, name: str) -> Object:
    group, version, kind = _SUBRESOURCE_KINDS.get(name, ("", "", resource.kind))
    entry: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": _subresource_verbs(name),
    }
    return {**entry, "group": group, "version": version} if group else entry


def _subresource_verbs(name: str) -> list[str]:
    return sorted(_VERBS[method] for method in SUBRESOURCES[name])


def _aggregated_group(name: str, served: Served) -> Object:
    resources = sorted((r for r in served if r.group == name), key=lambda r: (r.version, r.plural))
    versions = [
        {"version": version, "resources": [_aggregated_resource(r) for r in members], "freshness": "Current"}
        for version, members in groupby(resources, key=lambda r: r.version)
    ]
    return {"metadata": {"name": name} if name else {}, "versions": versions}


def _aggregated_resource(resource: Resource) -> Object:
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if subresources := [_aggregated_subresource(resource, name) for name in served_subresources(resource)]:
        entry["subresources"] = subresources
    return entry


def _aggregated_subresource(resource: Resource, name: str) -> Object:
    group, version, kind = _SUBRESOURCE_KINDS.get(name, ("", "", resource.kind))
    response_kind = {"group": group, "version": version, "kind": kind}
    return {"subresource": name, "responseKind": response_kind, "verbs": _subresource_verbs(name)}
