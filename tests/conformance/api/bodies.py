"""Recorded answers of which a recording has only a hint, looked up where the same answer was recorded in full."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from tests.conformance.recordings import flows

_DUPLICATE = re.compile(r'duplicate field "([^"]+)"|key "([^"]+)" already set in map')
REPEATED, SEE_DISCOVERY = "<repeat>", "<see discovery.json>"


def discovered(exchange: dict[str, Any]) -> Any:
    """The discovery document that ``<see discovery.json>`` stands for; None when that recording does not have it."""
    response = exchange["response"]
    wanted = (exchange["request"]["path"], _content_type(response), response.get("size"))
    return _documents().get(wanted)


@cache
def _documents() -> dict[tuple[str, str, Any], Any]:
    found = {}
    for flow in flows("api"):
        if flow.name != "discovery":
            continue
        for _, content in flow.parts():
            for exchange in content.get("exchanges") or []:
                response = exchange["response"]
                if isinstance(response.get("body"), dict):
                    key = (exchange["request"]["path"], _content_type(response), response.get("size"))
                    found[key] = response["body"]
    return found


def _content_type(response: dict[str, Any]) -> str:
    return str((response.get("headers") or {}).get("Content-Type") or "").replace(" ", "")


class Earlier:
    """Bodies of earlier reads of one recording, and whether something was written to their collection since."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, str, str], tuple[Any, Any]] = {}

    def take(self, exchange: dict[str, Any]) -> None:
        """Remember the body of a read; forget those of a collection that is written to."""
        request, response = exchange["request"], exchange["response"]
        if request["method"] == "GET":
            if isinstance(response.get("body"), dict):
                self._bodies[_read(request)] = (response["body"], response.get("size"))
            return
        plural = _collection(request["path"])
        self._bodies = {key: value for key, value in self._bodies.items() if _collection(key[0]) != plural}

    def same_as(self, exchange: dict[str, Any]) -> Any:
        """The body that ``<repeat>`` stands for: that of the same read with the same size; None when unknown."""
        body, size = self._bodies.get(_read(exchange["request"]), (None, None))
        return body if size is not None and size == exchange["response"].get("size") else None


def _read(request: dict[str, Any]) -> tuple[str, str, str]:
    return request["path"], request.get("query") or "", (request.get("headers") or {}).get("Accept") or ""


def _collection(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    return rest[2] if rest[:1] == ["namespaces"] and len(rest) > 2 else (rest[0] if rest else "")


def with_duplicate(sent: Any, answer: Any) -> str:
    """The text of a body with the key twice that the answer names; empty when it names none.

    Bodies are recorded as values, in which a key cannot be there twice.
    """
    message = str(answer.get("message", "")) if isinstance(answer, dict) else ""
    found = _DUPLICATE.search(message)
    return _doubled(sent, (found[1] or found[2]).rpartition(".")[2]) if found else ""


def _doubled(value: Any, key: str) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    written = [f"{json.dumps(name)}: {_doubled(item, key)}" for name, item in value.items()]
    if key in value:
        written.append(f"{json.dumps(key)}: {json.dumps(value[key])}")
    return "{" + ", ".join(written) + "}"
