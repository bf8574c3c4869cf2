"""Patches other than apply: what they make of the stored object, and what is said when that is no object."""

from __future__ import annotations

from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.gotext import compact_json, go_format
from cluster.embedded.apiserver.patches import json_patch, merge_patch, strategic_merge
from cluster.embedded.apiserver.schema import type_of
from cluster.embedded.client import ApiError
from cluster.embedded.resources import Object, Resource


def patched(resource: Resource, old: Object, patch: Any, patch_type: str) -> Any:
    """The object with a json, merge or strategic patch applied, not yet decoded. Raises ApiError."""
    if patch_type == "json":
        return json_patch.apply(old, patch)
    if not isinstance(patch, dict):
        found = "array" if isinstance(patch, list) else "string" if isinstance(patch, str) else "number"
        problem = f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        raise status.bad_request(f"error decoding patch: {problem}")
    if patch_type == "merge":
        return merge_patch.apply(old, patch)
    return strategic_merge.apply(old, patch, type_of(resource))


def check_name(obj: Any, name: str, namespace: str) -> None:
    """Refuse a patch that renames or moves the object. Raises ApiError 400."""
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if isinstance(metadata, dict) and (metadata.get("namespace") or "") != namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    given = metadata.get("name") if isinstance(metadata, dict) else None
    if not given:
        problem = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(problem)
    if given != name:
        raise status.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def unusable(obj: Any, patch: Any, patch_type: str, problem: str) -> ApiError:
    """422 about a patch whose result cannot be decoded."""
    return status.unusable_patch(go_format(patch) if patch_type == "strategic" else compact_json(obj), problem)
