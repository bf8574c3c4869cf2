"""Lists: selectors, resourceVersion and paging."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cluster.embedded.apiserver.conversion import storage_of
from cluster.embedded.apiserver.refusals import bad_request, expired, invalid, version_from_the_future
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.selectors import Predicate
from cluster.embedded.apiserver.watch import number
from cluster.embedded.resources import Object
from cluster.embedded.store import Store, VersionGone

_CONTINUE_FORMAT = "meta.k8s.io/v1"
_INCONSISTENT = -1
"""In a token: go on with what is stored now."""
_GONE_WITHIN_A_LIST = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Page:
    """Items and list metadata."""

    items: list[Object]
    metadata: dict[str, Any]


def list_page(store: Store, route: Route, selected: Predicate, query: Mapping[str, str]) -> Page:
    """One page of a list, as the query asks for it. Raises ApiError.

    All pages show the state at the resourceVersion of the first, so that a watch from it misses nothing.
    """
    number(query, "timeoutSeconds")
    limit, token = max(0, number(query, "limit") or 0), query.get("continue", "")
    check_version(store, query)
    version, start = _decode_token(token) if token else (_asked_version(query) or store.version, "")
    version = store.version if version < 0 else version
    items = [obj for obj in _stored_at(store, route, version, start) if selected(obj)]
    if start:
        items = [obj for obj in items if _position(route, obj) > start]
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if limit and len(items) > limit and query.get("resourceVersion") != "0":  # 0: the watch cache, which has no pages
        metadata["continue"] = _encode_token(version, _position(route, items[limit - 1]))
        if not query.get("labelSelector") and not query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return Page(items, metadata)


def _asked_version(query: Mapping[str, str]) -> int | None:
    """The resourceVersion that is asked for exactly; None when the present will do."""
    return int(query["resourceVersion"]) if query.get("resourceVersionMatch") == "Exact" else None


def _stored_at(store: Store, route: Route, version: int, start: str) -> list[Object]:
    """What is stored at a version. Raises ApiError 410, which shows the way on to who is in the middle of a list."""
    try:
        return store.list_at(storage_of(route.resource), route.namespace, version)
    except VersionGone:
        if not start:
            raise expired("The resourceVersion for the provided list is too old.") from None
        gone = expired(_GONE_WITHIN_A_LIST)
        gone.status["metadata"] = {"continue": _encode_token(_INCONSISTENT, start)}
        raise gone from None


def check_version(store: Store, query: Mapping[str, str]) -> None:
    """Refuse a resourceVersion that is malformed, of the future, or cannot be had. Raises ApiError."""
    text, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if text and query.get("continue"):
        raise bad_request("specifying resource version is not allowed when using continue")
    if match and not text:
        problem = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise invalid("ListOptions", "meta.k8s.io", "", "resourceVersionMatch", "FieldValueForbidden", problem)
    if not text:
        return
    if match == "Exact" and text == "0":
        problem = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        raise invalid("ListOptions", "meta.k8s.io", "", "resourceVersionMatch", "FieldValueForbidden", problem)
    if not text.isdecimal():
        problem = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: {problem}")
    if int(text) > store.version:
        raise version_from_the_future(int(text), store.version)


def _position(route: Route, obj: Object) -> str:
    """Where the object stands in the order of the list; sorts as the store does."""
    metadata = obj["metadata"]
    namespace = "" if route.namespace is not None else metadata.get("namespace") or ""
    return f"{namespace}/{metadata['name']}\0".lstrip("/")


def _encode_token(version: int, start: str) -> str:
    start = start if version == _INCONSISTENT else f"/{start}"
    token = orjson.dumps({"v": _CONTINUE_FORMAT, "rv": version, "start": start})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _decode_token(text: str) -> tuple[int, str]:
    try:
        token = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return int(token["rv"]), str(token["start"]).lstrip("/")
    except binascii.Error as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None
    except (ValueError, KeyError, TypeError):
        problem = f"invalid character '{_first_character(text)}' looking for beginning of value"
        raise bad_request(f"invalid continue token: continue key is not valid: {problem}") from None


def _first_character(text: str) -> str:
    """The first byte of a token that holds no JSON, as Go shows it."""
    byte = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:1]
    return byte.decode() if byte.isascii() else f"\\x{byte.hex()}"
