"""Status objects: how the API says no."""

from __future__ import annotations

from typing import Any

from cluster.embedded.apiserver.server_side_apply import ApplyConflict
from cluster.embedded.client import ApiError
from cluster.embedded.resources import Resource


def failure(code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> ApiError:
    """An ApiError whose Status has the shape that a real API server sends."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
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


def conflict(resource: Resource, name: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {resource.group_resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return failure(409, "Conflict", message, _details(resource, name))


def apply_conflict(error: ApplyConflict) -> ApiError:
    """The Status of an apply that others' fields stand against."""
    count = len(error.conflicts)
    by_manager: dict[str, list[str]] = {}
    for conflict_ in error.conflicts:
        by_manager.setdefault(conflict_.manager, []).append(conflict_.text)
    if count == 1:
        ((manager, paths),) = by_manager.items()
        text = f'Apply failed with 1 conflict: conflict with "{manager}": {paths[0]}'
    else:
        parts = (f'conflicts with "{m}":\n- ' + "\n- ".join(paths) for m, paths in by_manager.items())
        text = f"Apply failed with {count} conflicts: " + "\n".join(parts)
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{c.manager}"', "field": c.text}
        for c in error.conflicts
    ]
    return failure(409, "Conflict", text, {"causes": causes})
