"""The ResourceQuota admission plugin: what would exceed a quota of its namespace is refused.

(Kubernetes documentation: "Resource Quotas".) What is used is counted from the store as it is now, so that two requests
can never share the last piece.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.names import shown_name
from cluster.embedded.quota import missing, refusal, requested_of, used_by
from cluster.embedded.resources import EVENTS, PODS, RESOURCE_QUOTAS, RESOURCES, Object, Resource
from cluster.embedded.store import Store

_COUNTABLE = tuple(resource for resource in RESOURCES if resource.namespaced and resource is not EVENTS)


def admit_quota(store: Store, resource: Resource, new: Object, old: Object | None = None) -> None:
    """Refuse a new object, or the growth of one, that a quota has no room for. Raises ApiError 403."""
    namespace = new["metadata"].get("namespace") or ""
    quotas = store.list(RESOURCE_QUOTAS, namespace) if namespace and resource in _COUNTABLE else []
    for quota in quotas:
        requested = requested_of(quota, resource, new)
        if old is not None:
            before = requested_of(quota, resource, old)
            requested = {name: amount - before.get(name, 0) for name, amount in requested.items()}
        elif resource is PODS and (problem := missing(quota, new)):
            raise status.forbidden(resource, shown_name(new), problem)
        if any(amount > 0 for amount in requested.values()):
            used = used_by(quota, _stored(store, namespace))
            if problem := refusal(quota, requested, used):
                raise status.forbidden(resource, shown_name(new), problem)


def _stored(store: Store, namespace: str) -> Iterator[tuple[Resource, Object]]:
    for resource in _COUNTABLE:
        for obj in store.list(resource, namespace):
            yield resource, obj
