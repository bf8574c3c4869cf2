"""A list of what is wrong with an object, field by field, in the words of a Kubernetes server (field.Error)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cluster.embedded.apiserver.gotext import compact_json, go_quote


class Problems:
    """Collects causes for a 422. Each method takes the path of the field first."""

    def __init__(self) -> None:
        self.causes: list[dict[str, str]] = []

    def required(self, path: str, detail: str = "") -> None:
        self._add("FieldValueRequired", path, "Required value" + (f": {detail}" if detail else ""))

    def invalid(self, path: str, value: Any, detail: str) -> None:
        self._add("FieldValueInvalid", path, f"Invalid value: {_shown(value)}: {detail}")

    def unsupported(self, path: str, value: str, supported: Iterable[str]) -> None:
        known = ", ".join(go_quote(name) for name in supported)
        self._add("FieldValueNotSupported", path, f"Unsupported value: {go_quote(value)}: supported values: {known}")

    def duplicate(self, path: str, value: Any) -> None:
        self._add("FieldValueDuplicate", path, f"Duplicate value: {_shown(value)}")

    def forbidden(self, path: str, detail: str) -> None:
        self._add("FieldValueForbidden", path, f"Forbidden: {detail}")

    def not_found(self, path: str, value: str) -> None:
        self._add("FieldValueNotFound", path, f"Not found: {go_quote(value)}")

    def too_long(self, path: str, limit: int) -> None:
        self._add("FieldValueTooLong", path, f"Too long: may not be more than {limit} bytes")

    def not_negative(self, path: str, value: Any) -> None:
        """A number that must not be below zero."""
        if isinstance(value, int) and value < 0:
            self.invalid(path, value, "must be greater than or equal to 0")

    def _add(self, reason: str, path: str, message: str) -> None:
        self.causes.append({"reason": reason, "message": message, "field": path})


def _shown(value: Any) -> str:
    return go_quote(value) if isinstance(value, str) else compact_json(value)
