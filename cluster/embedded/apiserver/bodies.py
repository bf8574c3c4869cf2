"""Request bodies: JSON, YAML and protobuf in, plain JSON values out, with the errors a real server gives."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import orjson

from cluster.embedded.apiserver import yaml_limits
from cluster.embedded.apiserver.refusals import bad_request, unsupported_body_type, unsupported_patch_type
from cluster.embedded.resources import Object, Resource

PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
PROTOBUF = "application/vnd.kubernetes.protobuf"
_JSON = ("", "application/json", "application/octet-stream")


def decode_object(raw: bytes, content_type: str, resource: Resource, *, kind: str = "") -> Object:
    """An object sent to a resource; ``kind`` overrides the expected kind (Scale, Binding, ...). Raises ApiError."""
    expected = kind or resource.kind
    body = _decode(raw, content_type, expected)
    if not isinstance(body, dict):
        raise _unrecognized(expected, f"json: cannot unmarshal {_go_type(body)} into Go value", raw)
    return body


def decode_patch(raw: bytes, content_type: str) -> tuple[str, Any]:
    """The patch type that the content type names, and the patch. Raises ApiError."""
    patch_type = PATCH_TYPES.get(content_type)
    if patch_type is None:
        raise unsupported_patch_type()
    try:
        patch = load_yaml(raw) if patch_type == "apply" else orjson.loads(raw)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    wanted = list if patch_type == "json" else dict
    if not isinstance(patch, wanted):
        target = "[]handlers.jsonPatchOp" if patch_type == "json" else "map[string]interface {}"
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {_go_type(patch)} into Go value of type {target}"
        )
    return patch_type, patch


def decode_delete_options(raw: bytes, content_type: str) -> Object:
    """DeleteOptions of a DELETE, empty when there is no body. Raises ApiError."""
    if not raw.strip():
        return {}
    body = _decode(raw, content_type, "DeleteOptions")
    return body if isinstance(body, dict) else {}


def load_yaml(raw: bytes) -> Any:
    """YAML or JSON as JSON values: dates stay strings. Raises ValueError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        yaml, loader = _yaml()
        try:
            yaml_limits.check(raw, yaml, loader)
            return yaml.load(raw, loader)
        except yaml.YAMLError as error:
            raise ValueError(f"yaml: {error}") from None


@cache
def _yaml() -> tuple[Any, Any]:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # chosen at run time
        yaml_implicit_resolvers = {
            first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return yaml, Loader


def _decode(raw: bytes, content_type: str, expected: str) -> Any:
    if content_type in _JSON:
        return _decode_json(raw, expected)
    if content_type == "application/yaml":
        try:
            return load_yaml(raw)
        except ValueError as error:
            raise _unrecognized(expected, str(error), raw) from None
    if content_type == PROTOBUF:
        from cluster.embedded.apiserver import protobuf

        return protobuf.decode(raw)
    raise unsupported_body_type()


def _decode_json(raw: bytes, expected: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _unrecognized(expected, _go_json_error(raw, error), raw) from None


def _go_json_error(raw: bytes, error: json.JSONDecodeError) -> str:
    text = raw.decode(errors="replace")
    if error.pos >= len(text.rstrip()):
        return "unexpected end of JSON input"
    return f"invalid character {text[error.pos]!r} looking for beginning of value"


def _unrecognized(expected: str, problem: str, raw: bytes) -> Exception:
    shown = "<empty>" if not raw else raw.decode(errors="replace") if raw[:1] == b"{" else raw.hex()
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected}): "
        f"couldn't get version/kind; json parse error: {problem} ({shown[:200]})"
    )


def _go_type(value: Any) -> str:
    names = {list: "array", dict: "object", str: "string", bool: "bool", type(None): "null"}
    return names.get(type(value), "number")
