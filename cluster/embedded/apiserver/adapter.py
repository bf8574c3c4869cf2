"""The one place where HTTP requests meet the Registry: options of a write, and the calls they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from multidict import MultiMapping

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.refusals import invalid
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.selectors import Predicate, field_selector, label_selector
from cluster.embedded.resources import NAMESPACES, Object, Resource


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The query parameters of a write (CreateOptions, UpdateOptions, PatchOptions).

    Attributes:
        warnings: receives what is to be said in Warning headers.
    """

    field_manager: str = ""
    field_validation: str = ""
    dry_run: bool = False
    force: bool = False
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, query: MultiMapping[str], user_agent: str) -> WriteOptions:
        """The manager defaults to the program named in the User-Agent, as on a real server."""
        return cls(
            field_manager=query.get("fieldManager") or user_agent.split("/", 1)[0],
            field_validation=query.get("fieldValidation", ""),
            dry_run=parse_dry_run(query.getall("dryRun", [])),
            force=query.get("force", "").lower() not in ("", "0", "false"),
        )


def parse_dry_run(values: list[str]) -> bool:
    """Whether nothing may be stored. Raises ApiError 422 for anything but ``All``."""
    for value in values:
        if value != "All":
            problem = f'Unsupported value: ["{value}"]: supported values: "All"'
            raise invalid("CreateOptions", "meta.k8s.io", "", "dryRun", "FieldValueNotSupported", problem)
    return bool(values)


class Adapter:
    """Registry calls with the options of a request. Every method raises ApiError."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        return self.registry.get(resource, namespace or "", name)

    def exists(self, resource: Resource, namespace: str | None, name: str) -> bool:
        return self.registry.exists(resource, namespace or "", name)

    def selection(self, resource: Resource, labels: str, fields: str) -> Predicate:
        """Whether an object is selected by a labelSelector and a fieldSelector."""
        by_label, by_field = label_selector(labels), field_selector(fields, resource)
        return lambda obj: by_label(obj) and by_field(obj)

    def create(self, resource: Resource, namespace: str | None, obj: Object, options: WriteOptions) -> Object:
        self.require_namespace(namespace)
        return self.registry.create(
            resource,
            obj,
            field_manager=options.field_manager,
            dry_run=options.dry_run,
            field_validation=options.field_validation,
            warnings=options.warnings,
        )

    def update(self, resource: Resource, obj: Object, options: WriteOptions, *, subresource: str = "") -> Object:
        return self.registry.update(
            resource,
            obj,
            subresource=subresource,
            field_manager=options.field_manager,
            dry_run=options.dry_run,
            field_validation=options.field_validation,
            warnings=options.warnings,
        )

    def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Any,
        options: WriteOptions,
        *,
        patch_type: str,
        subresource: str = "",
    ) -> Object:
        if patch_type == "apply":
            self.require_namespace(namespace)
        return self.registry.patch(
            resource,
            namespace or "",
            name,
            patch,
            patch_type=patch_type,
            subresource=subresource,
            field_manager=options.field_manager,
            dry_run=options.dry_run,
            field_validation=options.field_validation,
            warnings=options.warnings,
            force=options.force,
        )

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        propagation: str | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object:
        return self.registry.delete(
            resource,
            namespace or "",
            name,
            grace_period_seconds=grace_period_seconds,
            propagation=propagation,
            uid=uid,
            resource_version=resource_version,
            dry_run=dry_run,
        )

    def require_namespace(self, namespace: str | None) -> None:
        """Raises ApiError 404 when the namespace does not exist."""
        if namespace is not None and not self.exists(NAMESPACES, "", namespace):
            raise status.not_found(NAMESPACES, namespace)
