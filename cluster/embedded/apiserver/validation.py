"""What the API refuses, in the words of a real one. Only what a game day can meet; the recordings are the measure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.embedded.apiserver.schema import TypeSchema, inner, of_object
from cluster.embedded.apiserver.status import failure
from cluster.embedded.client import ApiError
from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import Object, Resource

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong with an object."""

    reason: str
    field: str
    message: str


def check(resource: Resource, obj: Object, old: Object | None = None) -> None:
    """Raises ApiError 422 with every cause that makes the object invalid."""
    causes = [*_metadata(obj), *_SPECIFIC.get(resource.kind, _nothing)(obj, old)]
    if causes:
        raise invalid(resource, obj["metadata"].get("name", ""), causes)


def invalid(resource: Resource, name: str, causes: list[Cause]) -> ApiError:
    """The Status of an invalid object."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: dict[str, Any] = {
        "name": name,
        "kind": resource.kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    if resource.group:
        details["group"] = resource.group
    return failure(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def unknown_fields(obj: Object) -> list[str]:
    """Dotted paths of fields that the schema does not have."""
    schema = of_object(obj)
    return list(_unknown(obj, schema, "")) if schema else []


def _unknown(value: dict[str, Any], schema: TypeSchema, prefix: str) -> Iterator[str]:
    for key, item in value.items():
        if key not in schema:
            yield f"{prefix}{key}"
            continue
        within = inner(schema[key])
        if not within:
            continue
        if isinstance(item, dict):
            yield from _unknown(item, within, f"{prefix}{key}.")
        elif isinstance(item, list):
            for number, element in enumerate(item):
                if isinstance(element, dict):
                    yield from _unknown(element, within, f"{prefix}{key}[{number}].")


def _metadata(obj: Object) -> Iterator[Cause]:
    name = obj["metadata"].get("name")
    if not name:
        yield Cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")
    elif obj.get("kind") in _ANY_NAME:
        return
    elif len(name) > 253:
        yield Cause(
            "FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": must be no more than 253 characters'
        )
    elif not _SUBDOMAIN.fullmatch(name):
        yield Cause("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {_SUBDOMAIN_HELP}')


def _workload(obj: Object, old: Object | None) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    replicas = spec.get("replicas", 1)
    if isinstance(replicas, int) and replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        yield Cause("FieldValueInvalid", "spec.replicas", message)
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not spec.get("selector"):
        yield Cause("FieldValueRequired", "spec.selector", "Required value")
    elif not selector.items() <= labels.items():
        shown = "{" + ",".join(f'"{k}":"{v}"' for k, v in labels.items()) + "}"
        message = f"Invalid value: {shown}: `selector` does not match template `labels`"
        yield Cause("FieldValueInvalid", "spec.template.metadata.labels", message)
    if old is not None and old["spec"].get("selector") != spec.get("selector"):
        yield Cause("FieldValueInvalid", "spec.selector", "Invalid value: field is immutable")
    yield from _pod_spec((spec.get("template") or {}).get("spec") or {}, "spec.template.spec")


def _pod(obj: Object, old: Object | None) -> Iterator[Cause]:
    yield from _pod_spec(obj.get("spec") or {}, "spec")


def _pod_spec(spec: dict[str, Any], prefix: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield Cause("FieldValueRequired", f"{prefix}.containers", "Required value")
    for number, container in enumerate(spec.get("containers") or []):
        where = f"{prefix}.containers[{number}]"
        for key in ("name", "image"):
            if not container.get(key):
                yield Cause("FieldValueRequired", f"{where}.{key}", "Required value")
        yield from _resources(container.get("resources") or {}, f"{where}.resources")


def _resources(resources: dict[str, Any], where: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for key, value in requests.items():
        try:
            above = key in limits and parse_quantity(value) > parse_quantity(limits[key])
        except ValueError:
            continue
        if above:
            message = f'Invalid value: "{value}": must be less than or equal to {key} limit of {limits[key]}'
            yield Cause("FieldValueInvalid", f"{where}.requests", message)


def _service(obj: Object, old: Object | None) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    if not spec.get("ports") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield Cause("FieldValueRequired", "spec.ports", "Required value")
    before = ((old or {}).get("spec") or {}).get("clusterIP")
    if before and spec.get("clusterIP") not in (None, before):
        message = f'Invalid value: ["{spec["clusterIP"]}"]: may not change once set'
        yield Cause("FieldValueInvalid", "spec.clusterIPs[0]", message)


def _nothing(obj: Object, old: Object | None) -> Iterator[Cause]:
    yield from ()


_ANY_NAME = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Event")
_SPECIFIC = {"Deployment": _workload, "ReplicaSet": _workload, "Pod": _pod, "Service": _service}
