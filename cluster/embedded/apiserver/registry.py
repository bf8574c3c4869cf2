"""Generic storage behind every resource: what happens to an object between a request and the store."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jsonpatch

from cluster.embedded.apiserver import status
from cluster.embedded.resources import PODS, SERVICES, Object, Resource
from cluster.embedded.store import AlreadyExists, NotFound, Store, VersionConflict


def now() -> str:
    """The wall-clock time as the API writes it: RFC 3339, whole seconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Registry:
    """Create, read, update and delete with Kubernetes' life-cycle rules. Raises ApiError."""

    def __init__(self, store: Store, *, service_addresses: Callable[[], str] | None = None) -> None:
        self.store = store
        self._service_addresses = service_addresses

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        try:
            return self.store.get(resource, namespace, name)
        except NotFound:
            raise status.not_found(resource, name) from None

    def create(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: str = "",
    ) -> Object:
        obj = copy.deepcopy(obj)
        metadata = obj.setdefault("metadata", {})
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
        if "name" not in metadata and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        if "spec" in obj:
            metadata["generation"] = 1
        if resource is PODS:
            obj.setdefault("status", {}).setdefault("phase", "Pending")
        if resource is SERVICES and self._service_addresses and not obj["spec"].get("clusterIP"):
            obj["spec"]["clusterIP"] = self._service_addresses()
        if dry_run:
            return obj
        try:
            return self.store.create(resource, obj)
        except AlreadyExists:
            raise status.already_exists(resource, metadata["name"]) from None

    def update(
        self,
        resource: Resource,
        obj: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: str = "",
    ) -> Object:
        metadata = obj["metadata"]
        old = self.get(resource, metadata.get("namespace") or "", metadata["name"])
        new = copy.deepcopy(obj)
        if subresource == "status":
            new = {**copy.deepcopy(old), "status": new.get("status", {})}
        elif "status" in old:
            new["status"] = old["status"]
        for key in (
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ):
            if key in old["metadata"]:
                new["metadata"][key] = old["metadata"][key]
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        expected = metadata.get("resourceVersion") if subresource != "status" or "resourceVersion" in metadata else None
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if expected in (None, old["metadata"]["resourceVersion"]) and new == old:
            return old
        if dry_run:
            return new
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers") and resource is not PODS:
            return self.store.delete(resource, metadata.get("namespace") or "", metadata["name"])
        try:
            return self.store.update(resource, new, expected_version=expected)
        except VersionConflict:
            raise status.conflict(resource, metadata["name"]) from None

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        *,
        patch_type: str,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: str = "",
        force: bool = False,
    ) -> Object:
        if patch_type == "apply" and (namespace, name) not in self._keys(resource):
            return self.create(resource, patch, dry_run=dry_run)
        old = self.get(resource, namespace, name)
        if patch_type == "json":
            new = jsonpatch.apply_patch(copy.deepcopy(old), patch)
        else:
            new = _merge(copy.deepcopy(old), patch)
        return self.update(resource, new, subresource=subresource, dry_run=dry_run)

    def _keys(self, resource: Resource) -> set[tuple[str, str]]:
        return {(o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in self.store.list(resource)}

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        propagation: str | None = None,
        uid: str = "",
    ) -> Object:
        old = self.get(resource, namespace, name)
        if uid and old["metadata"]["uid"] != uid:
            raise status.conflict(resource, name)
        grace = grace_period_seconds
        if grace is None:
            grace = old.get("spec", {}).get("terminationGracePeriodSeconds", 30) if resource is PODS else 0
        gone_at_once = resource is not PODS or grace == 0 or not old.get("spec", {}).get("nodeName")
        if gone_at_once and not old["metadata"].get("finalizers"):
            return self.store.delete(resource, namespace, name)
        new = copy.deepcopy(old)
        new["metadata"].setdefault("deletionTimestamp", now())
        new["metadata"]["deletionGracePeriodSeconds"] = grace
        return self.store.update(resource, new)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result
