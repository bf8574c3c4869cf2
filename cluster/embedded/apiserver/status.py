"""Status objects: how the API says no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.embedded.apiserver.gotext import go_quote
from cluster.embedded.client import ApiError
from cluster.embedded.resources import Object, Resource


def failure(code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> ApiError:
    """An ApiError whose Status has the shape that a real API server sends."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "code": code,
    }
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    return ApiError(status)


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name, "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    return failure(404, "NotFound", f'{resource.group_resource} "{name}" not found', _details(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.group_resource} "{name}" already exists'
    return failure(409, "AlreadyExists", message, _details(resource, name))


def conflict(resource: Resource, name: str, problem: str = "") -> ApiError:
    """A write that lost a race, or whose condition does not hold."""
    problem = problem or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {problem}'
    return failure(409, "Conflict", message, _details(resource, name))


def precondition_failed(resource: Resource, name: str, problem: str) -> ApiError:
    """A delete whose precondition does not hold; unlike other conflicts it names the kind."""
    message = f'Operation cannot be fulfilled on {_qualified(resource)} "{name}": {problem}'
    return failure(409, "Conflict", message, {"name": name, **_kind(resource)})


def bad_request(message: str) -> ApiError:
    return failure(400, "BadRequest", message)


def undecodable(resource: Resource, problem: str) -> ApiError:
    """A body that is not an object of the resource's kind."""
    kind = resource.kind
    return bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {problem}')


def wrong_kind(resource: Resource, api_version: str, kind: str) -> ApiError:
    """A body that says it is of another kind than the resource's."""
    group, _, version = api_version.rpartition("/")
    problem = f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:111"'
    if (group, version) == (resource.group, resource.version):
        problem = f"converting ({version}.{kind}) to ({group or 'core'}.{resource.kind}): unknown conversion"
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {problem}')


def forbidden(resource: Resource, name: str, problem: str) -> ApiError:
    message = f'{resource.group_resource} "{name}" is forbidden: {problem}'
    return failure(403, "Forbidden", message, _details(resource, name))


def namespace_terminating(resource: Resource, name: str, namespace: str) -> ApiError:
    problem = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = forbidden(resource, name, problem)
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    error.status["details"]["causes"] = [cause]
    return error


def internal_error(message: str) -> ApiError:
    """An error that a real server passes on as it is, without a reason."""
    return failure(500, "", message)


def rejected() -> ApiError:
    """A JSON patch that could not be applied."""
    return failure(422, "Invalid", "the server rejected our request due to an error in our request", {})


def unusable_patch(value: str, problem: str) -> ApiError:
    """A patch that leads to something that is no object of the kind."""
    detail = f"Invalid value: {go_quote(value)}: {problem}"
    cause = {"reason": "FieldValueInvalid", "message": detail, "field": "patch"}
    return failure(422, "Invalid", f' "" is invalid: patch: {detail}', {"causes": [cause]})


def invalid(resource: Resource, name: str, causes: Sequence[dict[str, str]]) -> ApiError:
    """422 with one cause per field."""
    return invalid_kind(resource.kind, resource.group, name, causes)


def invalid_kind(kind: str, group: str, name: str, causes: Sequence[dict[str, str]]) -> ApiError:
    """422 about something that is no resource, such as ``PatchOptions``."""
    unique = dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in causes)
    listed = next(iter(unique)) if len(unique) == 1 else f"[{', '.join(unique)}]"
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"causes": list(causes), "kind": kind}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    return failure(422, "Invalid", f'{qualified} "{name}" is invalid: {listed}', details)


def deleted(resource: Resource, obj: Object) -> Object:
    """The Status of success that most deletions answer."""
    metadata = obj["metadata"]
    details = {**_details(resource, metadata["name"]), "uid": metadata["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def created() -> Object:
    """The Status of success that a binding or an eviction answers."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _qualified(resource: Resource) -> str:
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind


def _kind(resource: Resource) -> dict[str, str]:
    return {"kind": resource.kind, "group": resource.group} if resource.group else {"kind": resource.kind}
