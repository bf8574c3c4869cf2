"""One call of a remediation, as it was seen on the wire. Pure: from a request to what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs

import yaml

WRITES = ("create", "update", "patch", "delete", "deletecollection")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API server (`kubernetes`), the model registry (`registry`) or the router (`router`).

    Attributes:
        at_seconds: monotonic, when it came.
        verb: RBAC's word for a Kubernetes call; `read` or `write` for the others.
        group, resource, subresource, namespace, name: of a Kubernetes call; `resource` is empty for discovery.
        replicas: `spec.replicas` in the body of a write; None when it has none.
        status: the HTTP status that was answered; 0 when there was no answer.
    """

    at_seconds: float
    surface: str
    method: str
    path: str
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    replicas: int | None = None
    status: int = 0

    @property
    def writes(self) -> bool:
        """Whether it means to change something."""
        return self.verb in WRITES or self.verb == "write"

    @property
    def succeeded(self) -> bool:
        """Whether it was carried out."""
        return 200 <= self.status < 300

    @property
    def what(self) -> str:
        """In words, for reports."""
        if self.surface != "kubernetes" or not self.resource:
            return f"{self.method} {self.path}"
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        where = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.verb} {resource} {where}".strip()

    def as_mapping(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


def kubernetes_call(at_seconds: float, method: str, path: str, query: str, body: bytes, content_type: str) -> Call:
    """What a request to an API server means (https://kubernetes.io/docs/reference/access-authn-authz/authorization/)."""
    group, rest = _group_and_rest([part for part in path.split("/") if part])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    return Call(
        at_seconds,
        "kubernetes",
        method,
        path,
        _verb(method, name, query),
        group,
        resource,
        subresource,
        namespace,
        name,
        _replicas(method, body, content_type),
    )


def http_call(at_seconds: float, surface: str, method: str, path: str) -> Call:
    """What a request to the registry or the router means. A completion changes nothing."""
    reads = method in ("GET", "HEAD") or surface == "router"
    return Call(at_seconds, surface, method, path, "read" if reads else "write")


def _group_and_rest(parts: Sequence[str]) -> tuple[str, Sequence[str]]:
    if parts[:1] == ["api"]:
        return "", parts[2:]
    if parts[:1] == ["apis"] and len(parts) > 3:
        return parts[1], parts[3:]
    return "", []


def _verb(method: str, name: str, query: str) -> str:
    if method in ("GET", "HEAD"):
        if parse_qs(query).get("watch", [""])[0] in ("true", "1"):
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())


def _replicas(method: str, body: bytes, content_type: str) -> int | None:
    """`spec.replicas` of a JSON or YAML body; a JSON patch that replaces it counts as well."""
    if method not in _VERBS or not body or "protobuf" in content_type:
        return None
    try:
        content = yaml.safe_load(body)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    if isinstance(content, list):
        found = [
            each.get("value") for each in content if isinstance(each, dict) and each.get("path") == "/spec/replicas"
        ]
        return found[-1] if found and isinstance(found[-1], int) else None
    spec = content.get("spec") if isinstance(content, Mapping) else None
    replicas = spec.get("replicas") if isinstance(spec, Mapping) else None
    return replicas if isinstance(replicas, int) else None
