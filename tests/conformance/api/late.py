"""Objects that came or went in the middle of a recording without a recorded request, and labels that selectors tell.

An object that a whole list of its collection lacks, and that an answer shows later, was created in between; one that
was shown and that such a list lacks later was deleted, unless a recorded request did it. A pod of its own was created
when its kubelet first acted on it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.conformance.api import prior

_EQUAL = re.compile(r"([\w./-]+)={1,2}([\w.-]*)")
_CREATING_SECONDS = 0.1


@dataclass(slots=True)
class Changes:
    """What to do before an exchange that nobody was recorded doing: objects to create, paths to delete."""

    created: list[prior.Create] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


Place = tuple[int, int]
"""Index of a part and number of an exchange in it."""


def split(
    parts: list[dict[str, Any]], creations: list[prior.Create]
) -> tuple[list[prior.Create], dict[Place, Changes]]:
    """Those of the objects that were there from the beginning, and what changed before which exchange."""
    exchanges = _ordered(parts)
    changes: dict[Place, Changes] = defaultdict(Changes)
    initial = []
    for path, plain in creations:
        obj = _labelled(plain, exchanges, path)
        born = _birth(path, obj, exchanges, parts)
        if born is None:
            initial.append((path, obj))
        else:
            changes[born].created.append((path, obj))
        death = _death(path, obj, exchanges)
        if death is not None:
            changes[death].deleted.append(f"{path}/{obj['metadata']['name']}")
    return initial, changes


Ordered = list[tuple[Place, dict[str, Any]]]


def _ordered(parts: list[dict[str, Any]]) -> Ordered:
    return [
        ((index, exchange["n"]), exchange)
        for index, part in enumerate(parts)
        for exchange in sorted(part.get("exchanges") or [], key=lambda e: (e["t"], e["n"]))
    ]


def _birth(path: str, obj: dict[str, Any], exchanges: Ordered, parts: list[dict[str, Any]]) -> Place | None:
    name, absent = obj["metadata"]["name"], False
    if obj["kind"] == "Pod" and (began := _kubelet_began(obj, parts)) is not None:
        return (
            next((place for n, (place, e) in enumerate(exchanges) if n and e["t"] > began), None)
            if (exchanges and began > exchanges[0][1]["t"])
            else None
        )
    absent_before: set[Place] = set()
    for place, exchange in exchanges:
        listed = _names(exchange, path)
        if listed is None:
            continue
        if absent:
            absent_before.add(place)
        if name in listed:
            first = _first_page(place, exchange, exchanges)
            return first if first in absent_before else None
        absent = absent or _is_whole(exchange)
    return None


def _first_page(place: Place, exchange: dict[str, Any], exchanges: Ordered) -> Place:
    """Where the list began that an answer is a later page of: all pages show the moment of the first."""
    token = _query(exchange).get("continue")
    for other_place, other in exchanges if token else []:
        body = other["response"].get("body")
        if isinstance(body, dict) and (body.get("metadata") or {}).get("continue") == token:
            return _first_page(other_place, other, exchanges)
    return place


def _kubelet_began(obj: dict[str, Any], parts: list[dict[str, Any]]) -> float | None:
    pod = f"{obj['metadata'].get('namespace')}/{obj['metadata']['name']}"
    actions = [action for part in parts for action in part.get("kubelet") or [] if action["pod"] == pod]
    return min((action["t"] - _CREATING_SECONDS for action in actions), default=None)


def _death(path: str, obj: dict[str, Any], exchanges: Ordered) -> Place | None:
    name, shown = obj["metadata"]["name"], False
    for place, exchange in exchanges:
        request, listed = exchange["request"], _names(exchange, path)
        if request["method"] == "DELETE" and request["path"].rstrip("/") in (path, f"{path}/{name}"):
            return None
        if listed is not None and name in listed:
            shown = True
        elif shown and listed is not None and _is_whole(exchange):
            return place
    return None


def _names(exchange: dict[str, Any], path: str) -> set[str] | None:
    """The names that an answer lists of a collection; None when it is about something else."""
    body, request = exchange["response"].get("body"), exchange["request"]
    if request["method"] != "GET" or request["path"] != path or not isinstance(body, dict):
        return None
    if not isinstance(body.get("items"), list):
        return None
    return {item["metadata"].get("name") for item in body["items"] if isinstance(item, dict) and "metadata" in item}


def _is_whole(exchange: dict[str, Any]) -> bool:
    """Whether a list was neither selected nor cut into pages, and shows the present."""
    query = _query(exchange)
    selected = any(query.get(key) for key in ("labelSelector", "fieldSelector", "continue", "resourceVersion"))
    return not selected and not exchange["response"]["body"].get("metadata", {}).get("continue")


def _query(exchange: dict[str, Any]) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in (exchange["request"].get("query") or "").split("&"))


def _labelled(obj: dict[str, Any], exchanges: Ordered, path: str) -> dict[str, Any]:
    """An object of which only the name was recorded, with the labels that it was selected by."""
    if obj["metadata"].get("labels"):
        return obj
    labels: dict[str, str] = {}
    collection = path.rpartition("/")[2]
    for _, exchange in exchanges:
        asked = exchange["request"]["path"]
        listed = _names(exchange, asked) if asked.rpartition("/")[2] == collection else None
        if listed and obj["metadata"]["name"] in listed:
            labels |= _selected(exchange["request"].get("query") or "")
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}} if labels else obj


def _selected(query: str) -> dict[str, str]:
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == "labelSelector":
            matches = [_EQUAL.fullmatch(term) for term in unquote(value).split(",")]
            return {match[1]: match[2] for match in matches if match}
    return {}
