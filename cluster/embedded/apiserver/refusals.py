"""What the HTTP layer says no to by itself, before the Registry is asked."""

from __future__ import annotations

from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.client import ApiError


class NoSuchPath(Exception):
    """Nothing is served under that path or in that API group: 404 in plain text.

    Clients read the plain text as "this API group is not installed", and a Status as "no such resource".
    """


def unknown_resource() -> ApiError:
    return status.failure(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return status.failure(405, "MethodNotAllowed", message, {})


def unauthorized() -> ApiError:
    return status.failure(401, "Unauthorized", "Unauthorized")


def bad_request(message: str) -> ApiError:
    return status.failure(400, "BadRequest", message)


def not_acceptable() -> ApiError:
    message = "406: Not Acceptable\n\nAvailable representations: application/json, application/json;stream=watch"
    return status.failure(406, "NotAcceptable", message, {})


def unsupported_patch_type() -> ApiError:
    return status.failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def unsupported_body_type() -> ApiError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    return status.failure(415, "UnsupportedMediaType", message)


def body_too_large(limit_bytes: int) -> ApiError:
    return status.failure(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def timed_out() -> ApiError:
    message = "Timeout: request did not complete within requested timeout - context deadline exceeded"
    return status.failure(504, "Timeout", message, {})


def expired(problem: object) -> ApiError:
    return status.failure(410, "Expired", str(problem))


def version_from_the_future(version: int, current: int) -> ApiError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {version}, current: {current}"
    return status.failure(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def invalid(kind: str, group: str, name: str, field: str, reason: str, problem: str) -> ApiError:
    """422 with one cause. ``reason`` is such as FieldValueInvalid, ``problem`` the text after the field."""
    details: dict[str, Any] = {"kind": kind, "causes": [{"reason": reason, "message": problem, "field": field}]}
    if group:
        details["group"] = group
    if name:
        details["name"] = name
    full_kind = f"{kind}.{group}" if group else kind
    return status.failure(422, "Invalid", f'{full_kind} "{name}" is invalid: {field}: {problem}', details)
