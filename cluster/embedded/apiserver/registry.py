"""Generic storage behind every resource: what happens to an object between a request and the store."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonpatch

from cluster.embedded.apiserver import schema, server_side_apply, status, validation
from cluster.embedded.apiserver.defaulting import default
from cluster.embedded.apiserver.strategic_merge import PatchError, strategic_merge
from cluster.embedded.resources import NAMESPACES, PODS, SERVICES, Object, Resource
from cluster.embedded.store import AlreadyExists, NotFound, Store, VersionConflict

_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_WAITING_DELETION = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def now() -> str:
    """The wall-clock time as the API writes it: RFC 3339, whole seconds, UTC."""
    return _stamp(datetime.now(UTC))


class Registry:
    """Create, read, update and delete with Kubernetes' life-cycle rules. Every method raises ApiError.

    Args:
        service_addresses: gives the next free ClusterIP.
    """

    def __init__(self, store: Store, *, service_addresses: Callable[[], str] | None = None) -> None:
        self.store = store
        self._service_addresses = service_addresses

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object."""
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
        """Store a new object with its defaults."""
        new = self._decode(resource, obj, field_validation)
        metadata = new["metadata"]
        if metadata.get("resourceVersion"):
            raise status.failure(500, "", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(random.choices(_NAME_LETTERS, k=5))  # noqa: S311
        metadata.pop("managedFields", None)
        if field_manager:
            self._track(None, new, field_manager, "")
        return self._store_new(resource, new, dry_run=dry_run)

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
        """Replace an object, or its status; conditional when it carries a resourceVersion."""
        new = self._decode(resource, obj, field_validation)
        metadata = new["metadata"]
        old = self.get(resource, metadata.get("namespace") or "", metadata.get("name", ""))
        expected = metadata.get("resourceVersion")
        if expected and expected != old["metadata"]["resourceVersion"]:
            raise status.conflict(resource, metadata["name"])
        if subresource == "status":
            new = {**copy.deepcopy(old), "status": new.get("status", {})}
        new["metadata"].pop("managedFields", None)
        return self._replace(resource, old, new, subresource, field_manager, dry_run=dry_run)

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
        """Change an object by a patch: json, merge, strategic, or apply (which creates what is not there)."""
        if patch_type == "apply":
            return self._apply(resource, namespace, name, patch, field_manager, force=force, dry_run=dry_run)
        old = self.get(resource, namespace, name)
        new = self._decode(resource, _patched(resource, old, patch, patch_type), field_validation)
        if new["metadata"].get("name") != name:
            raise status.failure(
                400, "BadRequest", f"the name of the object ({new['metadata'].get('name')}) does not match"
            )
        if new["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise status.conflict(resource, name)
        if subresource == "status":
            new = {**copy.deepcopy(old), "status": new.get("status", {})}
        new["metadata"].pop("managedFields", None)
        return self._replace(resource, old, new, subresource, field_manager, dry_run=dry_run)

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
        """Delete an object: at once, or by marking it when a grace period or finalizers have to be waited for."""
        old = self.get(resource, namespace, name)
        if uid and old["metadata"]["uid"] != uid:
            raise status.conflict(resource, name)
        finalizers = list(old["metadata"].get("finalizers") or [])
        waiting = _WAITING_DELETION.get(propagation or "")
        if waiting and waiting not in finalizers:
            finalizers.append(waiting)
        grace = _grace_seconds(resource, old, grace_period_seconds)
        held = resource is NAMESPACES and old.get("spec", {}).get("finalizers")
        if grace == 0 and not finalizers and not held:
            return self.store.delete(resource, namespace, name)
        new = copy.deepcopy(old)
        metadata = new["metadata"]
        if finalizers:
            metadata["finalizers"] = finalizers
        before = metadata.get("deletionGracePeriodSeconds")
        if before is None or grace < before:  # a grace period can be shortened, never lengthened
            metadata["deletionTimestamp"] = _stamp(datetime.now(UTC) + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        if resource is NAMESPACES:
            new["status"] = {**new.get("status", {}), "phase": "Terminating"}
        return old if new == old else self.store.update(resource, new)

    def _apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        applied: Object,
        manager: str,
        *,
        force: bool,
        dry_run: bool,
    ) -> Object:
        applied = copy.deepcopy(applied)
        applied.setdefault("metadata", {}).setdefault("name", name)
        if resource.namespaced:
            applied["metadata"].setdefault("namespace", namespace)
        applied["metadata"].pop("managedFields", None)
        if unknown := validation.unknown_fields(applied):
            kind = f"{resource.api_version}, Kind={resource.kind}"
            message = (
                f"failed to create typed patch object ({namespace}/{name}; {kind}): .{unknown[0]}: "
                "field not declared in schema"
            )
            raise status.failure(500, "", message)
        applied = schema.normalise(applied, schema.of_object(applied))
        try:
            live = self.store.get(resource, namespace, name)
        except NotFound:
            live = None
        try:
            merged = server_side_apply.apply(
                live, applied, schema.of_object(applied), manager=manager, force=force, time=now()
            )
        except server_side_apply.ApplyConflict as error:
            raise status.apply_conflict(error) from None
        new = self._decode(resource, merged, "")
        if live is None:
            return self._store_new(resource, new, dry_run=dry_run)
        return self._replace(resource, live, new, "", "", dry_run=dry_run)

    def _decode(self, resource: Resource, obj: Object, field_validation: str) -> Object:
        """A copy of an object as the API reads it: its kind set, quantities as strings, defaults filled in."""
        typed = {**obj, "apiVersion": resource.api_version, "kind": resource.kind}
        if field_validation == "Strict" and (unknown := validation.unknown_fields(typed)):
            causes = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise status.failure(400, "BadRequest", f"strict decoding error: {causes}")
        new: Object = copy.deepcopy(schema.normalise(typed, schema.of_object(typed)))
        new.setdefault("metadata", {})
        default(new)
        return new

    def _store_new(self, resource: Resource, new: Object, *, dry_run: bool) -> Object:
        metadata = new["metadata"]
        validation.check(resource, new)
        if resource is SERVICES:
            self._allocate(new)
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(key, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        if "spec" in new and resource is not NAMESPACES:
            metadata["generation"] = 1
        if dry_run:
            return new
        try:
            return self.store.create(resource, new)
        except AlreadyExists:
            raise status.already_exists(resource, metadata["name"]) from None

    def _replace(
        self, resource: Resource, old: Object, new: Object, subresource: str, manager: str, *, dry_run: bool
    ) -> Object:
        metadata = new["metadata"]
        if subresource != "status" and "status" in old:
            new["status"] = old["status"]
        for key in _SERVER_OWNED:
            metadata.pop(key, None)
            if key in old["metadata"]:
                metadata[key] = old["metadata"][key]
        if resource is SERVICES and not new["spec"].get("clusterIP"):
            for key in ("clusterIP", "clusterIPs"):
                if key in old["spec"]:
                    new["spec"][key] = old["spec"][key]
        validation.check(resource, new, old)
        if "generation" in metadata and new.get("spec") != old.get("spec"):
            metadata["generation"] += 1
        if manager:
            self._track(old, new, manager, subresource)
        elif "managedFields" not in metadata and "managedFields" in old["metadata"]:
            metadata["managedFields"] = old["metadata"]["managedFields"]
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        if _same(old, new):
            return old
        if dry_run:
            return new
        if _released(resource, new):
            return self.store.delete(resource, metadata.get("namespace") or "", metadata["name"])
        try:
            return self.store.update(resource, new)
        except VersionConflict:
            raise status.conflict(resource, metadata["name"]) from None

    def _track(self, old: Object | None, new: Object, manager: str, subresource: str) -> None:
        server_side_apply.track_update(
            old, new, schema.of_object(new), manager=manager, time=now(), subresource=subresource
        )

    def _allocate(self, service: Object) -> None:
        spec = service["spec"]
        if spec.get("clusterIP") or spec.get("type") == "ExternalName" or self._service_addresses is None:
            return
        spec["clusterIP"] = self._service_addresses()
        spec["clusterIPs"] = [spec["clusterIP"]]


def _patched(resource: Resource, old: Object, patch: Any, patch_type: str) -> Object:
    try:
        if patch_type == "json":
            patched: Object = jsonpatch.apply_patch(copy.deepcopy(old), patch)
            return patched
        if patch_type == "strategic":
            merged: Object = strategic_merge(old, patch, schema.of_object(old))
            return merged
    except PatchError as error:
        raise status.failure(500, "", str(error)) from None
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        message = "the server rejected our request due to an error in our request"
        raise status.failure(422, "Invalid", message, {}) from None
    merged_by_key: Object = _merge(old, patch)
    return merged_by_key


def _merge(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _same(old: Object, new: Object) -> bool:
    """Whether nothing changed but the times of managedFields: such a write makes no event."""
    if old == new:
        return True

    def timeless(obj: Object) -> Object:
        entries = [{**entry, "time": ""} for entry in obj["metadata"].get("managedFields") or []]
        return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}

    return timeless(old) == timeless(new)


def _released(resource: Resource, obj: Object) -> bool:
    """Whether an object that is being deleted has nothing left that holds it. Pods wait for their node's word."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if resource is NAMESPACES:
        return not obj.get("spec", {}).get("finalizers")
    return resource is not PODS or metadata.get("deletionGracePeriodSeconds") == 0


def _grace_seconds(resource: Resource, obj: Object, asked: int | None) -> int:
    """The grace period in force. Pods that are not scheduled or have finished go at once."""
    if resource is not PODS:
        return 0
    spec = obj.get("spec", {})
    if not spec.get("nodeName") or obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = asked if asked is not None else spec.get("terminationGracePeriodSeconds", 30)
    return 1 if grace < 0 else int(grace)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
