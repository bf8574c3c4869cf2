"""From a URL path to what it names. Pure: knows nothing of HTTP methods or of the store."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.embedded.apiserver.refusals import NoSuchPath, unknown_resource
from cluster.embedded.resources import BY_PATH, SERVED, Resource

Verbs = tuple[str, ...]
"""HTTP methods."""

GROUPS = frozenset(resource.group for resource in SERVED)

SUBRESOURCES: dict[str, Verbs] = {
    "status": ("GET", "PUT", "PATCH"),
    "scale": ("GET", "PUT", "PATCH"),
    "finalize": ("PUT",),
    "binding": ("POST",),
    "eviction": ("POST",),
    "log": ("GET",),
    "exec": ("GET", "POST"),
    "attach": ("GET", "POST"),
    "portforward": ("GET", "POST"),
    "token": ("POST",),
}
"""The subresources that are served; others that a resource has in a real cluster are 404."""

_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Route:
    """A collection (no name), an object, or a subresource of an object.

    ``namespace`` is None for cluster-scoped resources and for lists of all namespaces.
    """

    resource: Resource
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    watch: bool = False


def parse(path: str) -> Route:
    """The route of a path such as ``/apis/apps/v1/namespaces/system/deployments/web/scale``.

    Raises NoSuchPath for unknown groups, ApiError 404 for unknown versions, resources and subresources.
    """
    group, version, rest = _group_version(path)
    if not any((r.group, r.version) == (group, version) for r in SERVED):
        raise unknown_resource()
    watch = rest[:1] == ["watch"]
    namespace, rest = _split_namespace(group, rest[1:] if watch else rest)
    if not 1 <= len(rest) <= 3:
        raise unknown_resource()
    plural, name, subresource = [*rest, "", ""][:3]
    resource = BY_PATH.get((group, version, plural))
    if resource is None or not _scope_fits(resource, namespace, name):
        raise unknown_resource()
    if subresource and (subresource not in resource.subresources or subresource not in SUBRESOURCES):
        raise unknown_resource()
    return Route(resource, namespace, name, subresource, watch)


def _group_version(path: str) -> tuple[str, str, list[str]]:
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", version, *rest]:
            return "", version, rest
        case ["apis", group, version, *rest] if group in GROUPS:
            return group, version, rest
        case _:
            raise NoSuchPath(path)


def _split_namespace(group: str, parts: list[str]) -> tuple[str | None, list[str]]:
    match parts:
        case ["namespaces", _, subresource] if not group and subresource in _NAMESPACE_SUBRESOURCES:
            return None, parts
        case ["namespaces", namespace, _, *_]:
            return namespace, parts[2:]
        case _:
            return None, parts


def _scope_fits(resource: Resource, namespace: str | None, name: str) -> bool:
    if not resource.namespaced:
        return namespace is None
    return namespace is not None or not name
