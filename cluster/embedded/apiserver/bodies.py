"""Request bodies: JSON, YAML and protobuf in, plain JSON values out, with the errors a real server gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson

from cluster.embedded.apiserver import gojson, yaml_limits
from cluster.embedded.apiserver.refusals import bad_request, unsupported_body_type, unsupported_patch_type
from cluster.embedded.resources import Object, Resource

PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
PROTOBUF = "application/vnd.kubernetes.protobuf"
_TYPED = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_JSON = ("", "application/json", "application/octet-stream")


def decode_object(raw: bytes, content_type: str, resource: Resource, *, kind: str = "") -> Object:
    """An object sent to a resource; ``kind`` overrides the expected kind (Scale, Binding, ...). Raises ApiError."""
    expected = kind or resource.kind
    body = _decode(raw, content_type, expected)
    if not isinstance(body, dict):
        raise _unrecognized(expected, f"json: cannot unmarshal {_go_type(body)} into Go value of type {_TYPED}", raw)
    for key in ("apiVersion", "kind"):
        if not isinstance(body.get(key, ""), str | None):
            problem = f"json: cannot unmarshal {_go_type(body[key])} into Go struct field .{key} of type string"
            raise _unrecognized(expected, problem, raw)
    return body


def duplicates(raw: bytes, content_type: str) -> list[str]:
    """What strict field validation says about keys that are there twice; empty for a body without any."""
    if content_type in _JSON:
        return [f'duplicate field "{path}"' for path in gojson.duplicate_fields(raw)]
    if content_type != "application/yaml":
        return []
    yaml, loader = _yaml()
    twice = _doubled(yaml, yaml.compose(raw, loader))
    found = [f'  line {line}: key "{key}" already set in map' for line, key in twice]
    return ["yaml: unmarshal errors:\n" + "\n".join(found)] if found else []


def _doubled(yaml: Any, node: Any) -> Iterator[tuple[int, str]]:
    """Line and text of the keys of YAML mappings that were there before."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _doubled(yaml, item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, item in node.value:
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(str(key.value))
            yield from _doubled(yaml, item)


def decode_patch(raw: bytes, content_type: str) -> tuple[str, Any]:
    """The patch type that the content type names, and the patch. Raises ApiError."""
    patch_type = PATCH_TYPES.get(content_type)
    if patch_type is None:
        raise unsupported_patch_type()
    try:
        patch = load_yaml(raw) if patch_type == "apply" else orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {_go_json_error(raw, error)}") from None
    except ValueError as error:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None
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
            return _json_value(yaml.load(raw, loader))
        except yaml.MarkedYAMLError as error:
            raise ValueError(_go_yaml_error(error, is_scanner=isinstance(error, yaml.scanner.ScannerError))) from None
        except yaml.YAMLError as error:
            raise ValueError(f"yaml: {error}") from None


def _go_yaml_error(error: Any, *, is_scanner: bool) -> str:
    """The error in the words, and with the line, of Go's YAML package."""
    lines = [mark.line for mark in (error.context_mark, error.problem_mark) if mark and mark.line]
    where = f"line {lines[0] + is_scanner}: " if lines else ""
    return f"yaml: {where}{error.problem}"


def _json_value(value: Any) -> Any:
    """YAML's value with JSON's keys, which are text."""
    if isinstance(value, dict):
        return {_json_key(key): _json_value(item) for key, item in value.items()}
    return [_json_value(item) for item in value] if isinstance(value, list) else value


def _json_key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


@cache
def _yaml() -> tuple[Any, Any]:
    import yaml

    one_letter = ("tag:yaml.org,2002:bool", re.compile("[yYnN]$"))

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # chosen at run time
        yaml_implicit_resolvers = {
            first: [
                *([one_letter] if first in ("y", "Y", "n", "N") else []),
                *((tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"),
            ]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}

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
    return gojson.syntax_error(raw.decode("latin-1")) or str(error)


def _unrecognized(expected: str, problem: str, raw: bytes) -> Exception:
    shown = "<empty>" if not raw else raw.decode(errors="replace") if raw[:1] == b"{" else raw.hex()
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected}): "
        f"couldn't get version/kind; json parse error: {problem} ({shown[:200]})"
    )


def _go_type(value: Any) -> str:
    names = {list: "array", dict: "object", str: "string", bool: "bool", type(None): "null"}
    return names.get(type(value), "number")
