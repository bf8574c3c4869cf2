"""What varies from run to run, replaced by placeholders; everything else stays as it is.

The list is the one of the recordings' README ("Volatile"): identities, versions, times, generated names, addresses,
ports, Helm's packed releases, ages in tables, the order of causes.
"""

from __future__ import annotations

import re
from typing import Any

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED = re.compile(rf"\b([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)-([{_LETTERS}]{{6,10}})-([{_LETTERS}]{{5}})\b")
_HASHED = re.compile(rf"\b([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)-(?=[{_LETTERS}]*[0-9])([{_LETTERS}]{{8,10}})(?![a-z0-9-])")
_SUFFIXED = re.compile(rf"^([A-Za-z0-9][A-Za-z0-9.-]*)-([{_LETTERS}]{{5}})$")
_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_EVENT = re.compile(r"\.[0-9a-f]{14,16}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_ADDRESS = re.compile(r"\b(?:10\.244|127)\.\d+\.\d+(?:\.\d+)?\b")
_VERSIONS = re.compile(r"(resource ?[vV]ersion:? ?|current: |in record \(|precondition \(|record \(|revision )(\d+)")
_ACCESS = re.compile(rf"(kube-api-access-)[{_LETTERS}]{{5}}")
_LABEL = re.compile(rf"(pod-template-hash=)[{_LETTERS}]+")
_QUOTED = re.compile(rf'"([A-Za-z0-9.-]+)-[{_LETTERS}]{{5}}"')
_PORT = re.compile(r"(?<=<ip>):\d{4,5}\b(?!:10999)")
_AGO = re.compile(r" \([0-9hmsdy]+ ago\)")
_AGES = ("Age", "Last Seen", "First Seen", "Duration", "Last Schedule")
_TOKENS = {"uid": "<uid>", "resourceVersion": "<rv>", "continue": "<continue>", "nodePort": "<port>",
           "healthCheckNodePort": "<port>", "remainingItemCount": "<count>", "renewTime": "<time>",
           "timeAdded": "<time>", "modifiedAt": "<time>", "createdAt": "<time>", "containerID": "<container>",
           "systemUUID": "<uid>", "bootID": "<uid>", "machineID": "<uid>"}  # fmt: skip
_HELM = "helm.sh/release.v1"


def text(value: str) -> str:
    """A string without what varies."""
    value = _UID.sub("<uid>", value)
    value = _TIME.sub("<time>", value)
    value = _EVENT.sub(".<event>", value)
    value = _GENERATED.sub(r"\1-<hash>-<rand>", value)
    value = _HASHED.sub(r"\1-<hash>", value)
    value = _VERSIONS.sub(r"\1<rv>", value)
    value = _ACCESS.sub(r"\1<rand>", value)
    value = _LABEL.sub(r"\1<hash>", value)
    value = _QUOTED.sub(r'"\1-<rand>"', value)
    return _PORT.sub(":<port>", _ADDRESS.sub("<ip>", value))


def generated(name: str) -> str:
    """An object's name without what the server made up."""
    return _SUFFIXED.sub(r"\1-<rand>", text(name)) if "<" not in (plain := text(name)) else plain


def body(value: Any) -> Any:
    """A body without what varies."""
    if not isinstance(value, dict):
        return text(value) if isinstance(value, str) else value
    if value.get("kind") == "Table":
        return _table(value)
    cleaned = _value(value, "")
    if isinstance(cleaned.get("items"), list):
        cleaned["items"] = sorted(cleaned["items"], key=_name)
    if "strict decoding error: " in str(cleaned.get("message")):
        cleaned["message"] = sorted(re.split(r"(?:: |, )(?=unknown field)", cleaned["message"]))
    if isinstance(cleaned.get("details"), dict) and cleaned["details"].get("causes"):
        causes = cleaned["details"]["causes"]
        cleaned["details"]["causes"] = sorted(
            causes, key=lambda c: (c.get("field", ""), c.get("reason", ""), c.get("message", ""))
        )
        if len(causes) > 1:
            cleaned["message"] = sorted(re.split(r"[\[\], ]+", str(cleaned.get("message"))))
    return cleaned


def _name(item: Any) -> str:
    metadata = item.get("metadata") or {} if isinstance(item, dict) else {}
    return f"{metadata.get('namespace')}/{metadata.get('name')}/{item.get('reason')}/{item.get('message')}"


def _value(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return _mapping(value, key)
    if isinstance(value, list):
        items = [_value(item, key) for item in value]
        return _managers(items) if key == "managedFields" else items
    if value is not None and (key in _TOKENS or key.endswith(("Time", "Timestamp")) or key == "time"):
        return _TOKENS.get(key, "<time>") if value != 0 else value
    if key == "generateName" and isinstance(value, str):
        return text(value.removesuffix("-"))
    return text(value) if isinstance(value, str) else value


def _mapping(value: dict[str, Any], key: str) -> dict[str, Any]:
    cleaned = {_key(k): _value(v, k) for k, v in value.items() if k != "_reduced"}
    if isinstance(cleaned.get("name"), str) and ("uid" in cleaned or key in ("metadata", "targetRef", "details")):
        cleaned["name"] = generated(cleaned["name"])
    if cleaned.get("pod-template-hash"):
        cleaned["pod-template-hash"] = "<hash>"
    if value.get("type") == _HELM and isinstance(value.get("data"), dict):
        cleaned["data"] = dict.fromkeys(value["data"], "<release>")
    if str(cleaned.get("reportingInstance", "")).startswith("default-scheduler-"):
        cleaned["reportingInstance"] = "default-scheduler-<host>"
    return cleaned


def _key(key: str) -> str:
    return _UID.sub("<uid>", key) if len(key) > 35 else text(key)


def _managers(entries: list[Any]) -> list[Any]:
    return sorted(entries, key=lambda e: (e.get("manager", ""), e.get("operation", ""), e.get("subresource", "")))


def _table(table: dict[str, Any]) -> dict[str, Any]:
    cleaned = _value({key: value for key, value in table.items() if key != "rows"}, "")
    columns = [column["name"] for column in table.get("columnDefinitions") or []]
    ages = {index for index, name in enumerate(columns) if name in _AGES}
    rows = [
        {
            "cells": [_cell(cell, index in ages, index == 0) for index, cell in enumerate(row["cells"])],
            "object": _value(row.get("object"), ""),
        }
        for row in table.get("rows") or []
    ]
    cleaned["rows"] = sorted(rows, key=lambda row: repr(row["cells"]))
    return dict(cleaned)


def _cell(cell: Any, is_age: bool, is_name: bool) -> Any:
    if not isinstance(cell, str):
        return cell
    if is_age:
        return "<age>" if cell not in ("<unknown>", "<none>") else cell
    return generated(cell) if is_name else text(_AGO.sub(" (<age> ago)", cell))
