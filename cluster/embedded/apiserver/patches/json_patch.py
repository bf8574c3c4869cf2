"""JSON patch (RFC 6902), with the errors of a Kubernetes API server."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from cluster.embedded.apiserver import status


def apply(target: Any, operations: Any) -> Any:
    """The target after all operations; it is not changed itself.

    Raises:
        ApiError: 400 when the patch is no list of operations, 422 when an operation fails.
    """
    if not isinstance(operations, list):
        found = "object" if isinstance(operations, dict) else "string"
        problem = f"json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
        raise status.bad_request(f"error decoding patch: {problem}")
    if not operations:
        return target
    try:
        return jsonpatch.JsonPatch(operations).apply(target)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, AttributeError, KeyError):
        raise status.rejected() from None
