"""Options of a request: fieldManager, force, fieldValidation."""

from __future__ import annotations

from cluster.embedded.apiserver import status

_LONGEST_MANAGER = 128
_FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


def check_field_validation(options: str, value: str) -> None:
    """Refuse an unknown fieldValidation. Raises ApiError 422."""
    if value not in _FIELD_VALIDATIONS:
        known = ", ".join(f'"{name}"' for name in _FIELD_VALIDATIONS)
        problem = f'Unsupported value: "{value}": supported values: {known}'
        _refuse(options, "fieldValidation", "FieldValueNotSupported", problem)


def check_manager(name: str, patch_type: str, *, force: bool) -> None:
    """Refuse a bad fieldManager, an apply without one, and force without apply. Raises ApiError 422."""
    if force and patch_type != "apply":
        problem = "Forbidden: may not be specified for non-apply patch"
        _refuse("PatchOptions", "force", "FieldValueForbidden", problem)
    if patch_type == "apply" and not name:
        problem = "Required value: is required for apply patch"
        _refuse("PatchOptions", "fieldManager", "FieldValueRequired", problem)
    if len(name.encode()) > _LONGEST_MANAGER:
        problem = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        _refuse("PatchOptions", "fieldManager", "FieldValueTooLong", problem)


def strict_problem(unknown: list[str]) -> str:
    """What strict field validation says about unknown fields."""
    return "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown)


def unknown_warnings(unknown: list[str], field_validation: str, warnings: list[str] | None) -> None:
    """Add a warning for each unknown field, unless the client asked to ignore them."""
    if warnings is not None and field_validation != "Ignore":
        warnings.extend(f'unknown field "{path}"' for path in unknown)


def _refuse(options: str, field: str, reason: str, problem: str) -> None:
    cause = {"reason": reason, "message": problem, "field": field}
    raise status.invalid_kind(options, "meta.k8s.io", "", [cause])
