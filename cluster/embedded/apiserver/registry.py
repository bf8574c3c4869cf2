"""Generic storage behind every resource: what happens to an object between a request and the store.

A write is decoded by schema, gets defaults and managedFields, passes admission, life-cycle rules and validation.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from cluster.embedded.apiserver import deletion, lifecycle, status, subresources
from cluster.embedded.apiserver.admission import admit
from cluster.embedded.apiserver.applying import applied_object, fill_changed
from cluster.embedded.apiserver.conversion import from_stored, storage_of, to_stored
from cluster.embedded.apiserver.decoding import DecodeError, Decoder
from cluster.embedded.apiserver.defaulting import apply_defaults
from cluster.embedded.apiserver.lifecycle import now
from cluster.embedded.apiserver.managed_fields import (
    Manager,
    blank_part,
    entries_for_update,
    same,
    set_entries,
    track_update,
    tracked_part,
)
from cluster.embedded.apiserver.names import generate
from cluster.embedded.apiserver.options import (
    check_field_validation,
    check_manager,
    strict_problem,
    unknown_warnings,
)
from cluster.embedded.apiserver.patching import check_name, patched, unusable
from cluster.embedded.apiserver.pod_warnings import pod_warnings
from cluster.embedded.apiserver.quota_admission import admit_quota
from cluster.embedded.apiserver.schema import type_of
from cluster.embedded.apiserver.selectors import field_selector, label_selector
from cluster.embedded.apiserver.service_accounts import admit_account
from cluster.embedded.apiserver.services import ServiceAllocator
from cluster.embedded.apiserver.validation import validate, validate_update
from cluster.embedded.resources import PODS, SERVICES, Object, Resource
from cluster.embedded.store import AlreadyExists, NotFound, Store

__all__ = ["Registry", "now"]

Warnings = list[str] | None
"""Receives what a server sends as Warning headers."""

Objects = list[Object]


class Registry:
    """Create, read, update and delete with Kubernetes' life-cycle rules. Every method raises ApiError.

    Objects that it returns are shared with the store: never change one. A ``warnings`` list, where one is given,
    receives the texts that a server sends as Warning headers.

    Args:
        store: where objects live.
        service_addresses: gives the next free ClusterIP; without it Services get none.
        service_range: the addresses that a Service may choose from; any when it is None.
        service_accounts: whether pods need a ServiceAccount and get its credentials as a volume.
    """

    def __init__(
        self,
        store: Store,
        *,
        service_addresses: Callable[[], str] | None = None,
        service_range: IPv4Network | None = None,
        service_accounts: bool = False,
    ) -> None:
        self.store = store
        self._service_accounts = service_accounts
        self._services = ServiceAllocator(store, service_addresses, service_range)

    @property
    def needs_accounts(self) -> bool:
        """Whether pods need a ServiceAccount."""
        return self._service_accounts

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The stored object."""
        try:
            return from_stored(resource, self.store.get(storage_of(resource), namespace, name))
        except NotFound:
            raise status.not_found(resource, name) from None

    def exists(self, resource: Resource, namespace: str, name: str) -> bool:
        """Whether a PUT or an apply would update (200) rather than create (201)."""
        try:
            self.store.get(storage_of(resource), namespace, name)
        except NotFound:
            return False
        return True

    def list(self, resource: Resource, namespace: str | None = None, labels: str = "", fields: str = "") -> Objects:
        """The objects that both selectors match, in all namespaces when ``namespace`` is None."""
        by_label, by_field = label_selector(labels), field_selector(fields, resource)
        stored = self.store.list(storage_of(resource), namespace)
        return [from_stored(resource, obj) for obj in stored if by_label(obj) and by_field(obj)]

    def create(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: str = "",
        warnings: Warnings = None,
    ) -> Object:
        """Store a new object; its namespace is the one in its metadata."""
        check_field_validation("CreateOptions", field_validation)
        new = self._decoded(resource, obj, field_validation, warnings)
        _warn(resource, new, None, warnings)
        apply_defaults(resource, new)
        manager = Manager(field_manager or "unknown", "Update", resource.api_version)
        before, after = blank_part(resource), tracked_part(resource, new, "")
        set_entries(new, track_update(type_of(resource), before, after, [], manager, now()))
        return self._insert(resource, new, dry_run)

    def update(
        self,
        resource: Resource,
        obj: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
        field_validation: str = "",
        warnings: Warnings = None,
    ) -> Object:
        """Replace an object, or its part behind a subresource (status, scale, finalize)."""
        check_field_validation("UpdateOptions", field_validation)
        metadata = obj.get("metadata") or {}
        namespace, name = metadata.get("namespace") or "", metadata.get("name") or ""
        manager = Manager(field_manager or "unknown", "Update", resource.api_version, subresource)
        if subresource == "scale":
            return subresources.update_scale(self, resource, obj, field_manager, dry_run)
        if not self.exists(resource, namespace, name) and not subresource and lifecycle.may_create_by_update(resource):
            return self.create(
                resource,
                obj,
                field_manager=field_manager,
                dry_run=dry_run,
                field_validation=field_validation,
                warnings=warnings,
            )
        old = self.get(resource, namespace, name)
        new = self._decoded(resource, obj, field_validation, warnings)
        replaced = self._replace(resource, old, new, manager, dry_run)
        _warn(resource, replaced, old, warnings)
        return replaced

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
        force: bool = False,
        dry_run: bool = False,
        field_validation: str = "",
        warnings: Warnings = None,
    ) -> Object:
        """Change part of an object; ``patch_type`` is json, merge, strategic, or apply, which may create."""
        check_field_validation("PatchOptions", field_validation)
        check_manager(field_manager, patch_type, force=force)
        if patch_type == "apply":
            manager = Manager(field_manager, "Apply", resource.api_version, subresource)
            old = self.get(resource, namespace, name) if self.exists(resource, namespace, name) else None
            applied = self._apply(resource, namespace, name, patch, manager, force=force, dry_run=dry_run)
            _warn(resource, applied, old, warnings)
            return applied
        old = self.get(resource, namespace, name)
        if subresource == "scale":
            return subresources.patch_scale(self, resource, old, patch, patch_type, field_manager, dry_run)
        changed = patched(resource, old, patch, patch_type)
        check_name(changed, name, namespace)
        decoder = Decoder()
        try:
            new = decoder.decode(type_of(resource), changed, old)
        except DecodeError as error:
            raise unusable(changed, patch, patch_type, str(error)) from None
        if decoder.unknown and field_validation == "Strict":
            raise unusable(changed, patch, patch_type, strict_problem(decoder.unknown))
        unknown_warnings(decoder.unknown, field_validation, warnings)
        manager = Manager(field_manager or "unknown", "Update", resource.api_version, subresource)
        replaced = self._replace(resource, old, new, manager, dry_run)
        _warn(resource, replaced, old, warnings)
        return replaced

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        propagation: str | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Delete an object, or begin to; returns what the API answers: the object, or a Status of success."""
        deletion.check_propagation(propagation)
        obj = self.get(resource, namespace, name)
        deletion.check_preconditions(resource, obj, uid, resource_version)
        plan = deletion.plan(resource, obj, grace_period_seconds, propagation)
        if dry_run:
            return self._answer(resource, plan.marked or obj, removed=plan.remove)
        if plan.marked is not None:
            self.store.update(storage_of(resource), to_stored(resource, plan.marked))
            obj = self.get(resource, namespace, name)
        if plan.remove:
            obj = from_stored(resource, self.store.delete(storage_of(resource), namespace, name))
        return self._answer(resource, obj, removed=plan.remove)

    def get_scale(self, resource: Resource, namespace: str, name: str) -> Object:
        """The Scale of a Deployment or ReplicaSet."""
        return subresources.scale_of(resource, self.get(resource, namespace, name))

    def bind(self, namespace: str, binding: Object, *, dry_run: bool = False) -> Object:
        """Put a pod on a node (``pods/binding``); returns a Status of success."""
        return subresources.bind(self, namespace, binding, dry_run=dry_run)

    def evict(self, namespace: str, eviction: Object, *, dry_run: bool = False) -> Object:
        """Delete a pod if its disruption budget allows (``pods/eviction``); 429 when it does not."""
        return subresources.evict(self, namespace, eviction, dry_run=dry_run)

    def write(self, resource: Resource, old: Object, new: Object, *, dry_run: bool = False) -> Object:
        """Store a prepared successor of an object; a write that changes nothing is none."""
        if same(old, new):
            return old
        if dry_run:
            return new
        if deletion.goes_with_update(new):
            metadata = new["metadata"]
            self.store.delete(storage_of(resource), metadata.get("namespace") or "", metadata["name"])
            return new
        return from_stored(resource, self.store.update(storage_of(resource), to_stored(resource, new)))

    def _decoded(self, resource: Resource, obj: Object, field_validation: str, warnings: Warnings) -> Object:
        kind, version = obj.get("kind") or resource.kind, obj.get("apiVersion") or resource.api_version
        if (kind, version) != (resource.kind, resource.api_version):
            raise status.wrong_kind(resource, version, kind)
        decoder = Decoder()
        try:
            new: Object = decoder.decode(type_of(resource), obj)
        except DecodeError as error:
            raise status.undecodable(resource, str(error)) from None
        if decoder.unknown and field_validation == "Strict":
            raise status.undecodable(resource, strict_problem(decoder.unknown))
        unknown_warnings(decoder.unknown, field_validation, warnings)
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        new["metadata"] = dict(new.get("metadata", {}))
        return new

    def _insert(self, resource: Resource, new: Object, dry_run: bool) -> Object:
        metadata = new["metadata"]
        if metadata.get("resourceVersion") and not dry_run:
            raise status.internal_error("resourceVersion should not be set on objects to be created")
        admit(self.store, resource, new)
        if self._service_accounts and resource is PODS:
            admit_account(self.store, new)
        admit_quota(self.store, resource, new)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generate(metadata["generateName"])
        lifecycle.prepare_new(resource, new)
        validate(storage_of(resource), to_stored(resource, new))
        if resource is SERVICES:
            self._services.allocate(new)
        if self.exists(resource, metadata.get("namespace") or "", metadata["name"]):
            raise status.already_exists(resource, metadata["name"])
        if dry_run:
            return new
        try:
            return from_stored(resource, self.store.create(storage_of(resource), to_stored(resource, new)))
        except AlreadyExists:
            raise status.already_exists(resource, metadata["name"]) from None

    def _replace(self, resource: Resource, old: Object, new: Object, manager: Manager, dry_run: bool) -> Object:
        metadata = new["metadata"] = dict(new.get("metadata", {}))
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        stored = old["metadata"]
        if metadata.get("resourceVersion") not in (None, "", stored["resourceVersion"]):
            raise status.conflict(resource, metadata["name"])
        metadata["resourceVersion"] = stored["resourceVersion"]
        if manager.subresource != "status":
            fill_changed(resource, old, new)
        live = stored.get("managedFields", [])
        entries = entries_for_update(live, metadata.get("managedFields"), main=not manager.subresource)
        if entries:
            before = tracked_part(resource, old, manager.subresource)
            after = tracked_part(resource, new, manager.subresource)
            entries = track_update(type_of(resource), before, after, entries, manager, now())
        return self._finish(resource, old, new, entries, manager.subresource, dry_run)

    def _finish(
        self, resource: Resource, old: Object, new: Object, entries: Any, subresource: str, dry_run: bool
    ) -> Object:
        lifecycle.prepare_update(resource, old, new, subresource)
        set_entries(new, entries)
        if resource is SERVICES and new["spec"] is not old["spec"]:
            self._services.allocate(new, old)
        if not same(old, new):
            validate_update(resource, old, new, subresource)
            if not subresource:
                admit_quota(self.store, resource, new, old)
        return self.write(resource, old, new, dry_run=dry_run)

    def _apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        config: Any,
        manager: Manager,
        *,
        force: bool,
        dry_run: bool,
    ) -> Object:
        old = self.get(resource, namespace, name) if self.exists(resource, namespace, name) else None
        new, entries = applied_object(resource, old, namespace, name, config, manager, force=force)
        if old is not None:
            fill_changed(resource, old, new)
            return self._finish(resource, old, new, entries, manager.subresource, dry_run)
        apply_defaults(resource, new)
        set_entries(new, entries)
        return self._insert(resource, new, dry_run)

    def _answer(self, resource: Resource, obj: Object, *, removed: bool) -> Object:
        if removed and not deletion.answers_object(resource):
            return status.deleted(resource, obj)
        return obj


def _warn(resource: Resource, new: Object, old: Object | None, warnings: Warnings) -> None:
    if warnings is not None:
        warnings.extend(pod_warnings(resource, new, old))
