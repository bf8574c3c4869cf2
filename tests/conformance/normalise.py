"""What varies from run to run, replaced by placeholders; everything else stays as it is.

The list is the one of the recordings' README ("Volatile"): identities, versions, times, generated names, addresses,
node ports, Helm's packed releases, ages in tables, the order of causes, and that of unknown fields (the keys of
recorded bodies are sorted, so that nobody knows in which order they were sent). A placeholder stands only for a value
of the right form: a time that is no time, or a uid that is none, stays as it is and is told as a difference.
"""

from __future__ import annotations

import json
import re
from typing import Any

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED = re.compile(rf"\b([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)-([{_LETTERS}]{{6,10}})-([{_LETTERS}]{{5}})\b")
_HASHED = re.compile(
    rf"\b([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)-(?=[{_LETTERS}]*[0-9])([{_LETTERS}]{{8,10}})(?![a-z0-9]|-[a-z0-9])"
)
_SUFFIXED = re.compile(rf"^([A-Za-z0-9][A-Za-z0-9.-]*)-([{_LETTERS}]{{5}})$")
_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_EVENT = re.compile(r"\.[0-9a-f]{14,16}\b")
_SECONDS = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MICROS = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_ADDRESS = re.compile(r"\b(?:10\.244|127\.(?!0\.0\.1\b)\d+)\.\d+\.\d+\b")
_VERSIONS = re.compile(r"(resource ?[vV]ersion:? ?|current: |in record \(|precondition \(|record \(|revision )(\d+)")
_TOO_OLD = re.compile(r"(too old resource version: )\d+ \(\d+\)")
_UNKNOWN_FIELDS = re.compile(r'unknown field "[^"]*"(?:, unknown field "[^"]*")+')
_ACCESS = re.compile(rf"(kube-api-access-)[{_LETTERS}]{{5}}")
_LABEL = re.compile(rf"(pod-template-hash=)[{_LETTERS}]+")
_QUOTED = re.compile(rf'"([A-Za-z0-9.-]+)-[{_LETTERS}]{{5}}"')
_NODE_PORT = re.compile(r":(?:3[01]\d{3}|32[0-6]\d\d|327[0-5]\d|3276[0-7])/")
_CONTAINER = re.compile(r"\b(fake|containerd)://[0-9a-f]{8,64}")
_AGO = re.compile(r" \([0-9hmsdy]+ ago\)")
_AGE = re.compile(r"^(\d+[ydhms]){1,2}( \(x\d+ over (\d+[ydhms]){1,2}\))?$")
_AGES = ("Age", "Last Seen", "First Seen", "Duration", "Last Schedule")
_HELM = "helm.sh/release.v1"

_TOKENS: dict[str, tuple[re.Pattern[str], str]] = {
    "uid": (_UID, "<uid>"),
    "resourceVersion": (re.compile(r"[1-9]\d*"), "<rv>"),
    "continue": (re.compile(r"[\w=+/-]+"), "<continue>"),
    "nodePort": (re.compile(r"3\d{4}"), "<port>"),
    "healthCheckNodePort": (re.compile(r"3\d{4}"), "<port>"),
    "modifiedAt": (re.compile(r"\d{9,11}"), "<time>"),
    "createdAt": (re.compile(r"\d{9,11}"), "<time>"),
    "clusterIP": (re.compile(r"\d+(\.\d+){3}"), "<ip>"),
    "clusterIPs": (re.compile(r"\d+(\.\d+){3}"), "<ip>"),
    "podIP": (re.compile(r"\d+(\.\d+){3}"), "<ip>"),
    "serverAddress": (re.compile(r"[\d.]+:\d+"), "<address>"),
    "pod-template-hash": (re.compile(r"[a-z0-9]{5,10}"), "<hash>"),
}
_NUMBERS = ("nodePort", "healthCheckNodePort")


def text(value: str) -> str:
    """A string without what varies."""
    value = _UID.sub("<uid>", value)
    value = _SECONDS.sub("<time>", _MICROS.sub("<microtime>", value))
    value = _EVENT.sub(".<event>", value)
    value = _GENERATED.sub(r"\1-<hash>-<rand>", value)
    value = _HASHED.sub(r"\1-<hash>", value)
    value = _UNKNOWN_FIELDS.sub(lambda match: ", ".join(sorted(match[0].split(", "))), value)
    value = _TOO_OLD.sub(r"\1<rv> (<rv>)", value)
    value = _VERSIONS.sub(r"\1<rv>", value)
    value = _ACCESS.sub(r"\1<rand>", value)
    value = _LABEL.sub(r"\1<hash>", value)
    value = _QUOTED.sub(r'"\1-<rand>"', value)
    value = _CONTAINER.sub(r"\1://<container>", value)
    return _NODE_PORT.sub(":<port>/", _ADDRESS.sub("<ip>", value))


def generated(name: str) -> str:
    """An object's name without what the server made up."""
    return _SUFFIXED.sub(r"\1-<rand>", text(name)) if "<" not in (plain := text(name)) else plain


def body(whole: Any) -> Any:
    """A body without what varies."""
    cleaned = value(whole)
    if not isinstance(cleaned, dict):
        return cleaned
    details = cleaned.get("details")
    if isinstance(details, dict) and isinstance(details.get("causes"), list):
        _unordered_causes(cleaned, details)
    if cleaned.get("kind") == "ConfigMapList" and isinstance(cleaned.get("metadata"), dict):
        _uncounted(cleaned["metadata"])
    return cleaned


def _unordered_causes(status: dict[str, Any], details: dict[str, Any]) -> None:
    """The order of causes is left open, in the list and in the message that names them all."""
    causes = details["causes"]
    details["causes"] = sorted(causes, key=lambda cause: json.dumps(cause, sort_keys=True))
    if len(causes) > 1 and isinstance(status.get("message"), str):
        head, _, listed = status["message"].partition("[")
        status["message"] = [head, *sorted(re.split(r"[\], ]+", listed))]


def _uncounted(metadata: dict[str, Any]) -> None:
    """The recorded server had a ConfigMap in each namespace that was taken out of the recordings, but not of counts."""
    if isinstance(metadata.get("remainingItemCount"), int):
        metadata["remainingItemCount"] = "<count>"


def value(content: Any, key: str = "") -> Any:
    """Any part of a body without what varies."""
    if isinstance(content, dict):
        return _mapping(content, key)
    if isinstance(content, list):
        items = [value(item, key) for item in content]
        return sorted(items, key=_manager) if key == "managedFields" else items
    if isinstance(content, bool) or content is None:
        return content
    if key in _TOKENS and isinstance(content, int if key in _NUMBERS else str):
        form, token = _TOKENS[key]
        return token if form.fullmatch(str(content)) else content
    if not isinstance(content, str):
        return content
    return text(content.removesuffix("-")) if key == "generateName" else text(content)


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    cleaned = {_key(k): value(v, k) for k, v in content.items()}
    if isinstance(content.get("name"), str) and ("uid" in content or key in ("metadata", "targetRef", "details")):
        cleaned["name"] = generated(content["name"])
    if content.get("type") == _HELM and isinstance(content.get("data"), dict):
        cleaned["data"] = {k: "<release>" if k == "release" else v for k, v in cleaned["data"].items()}
    if str(content.get("reportingInstance", "")).startswith("default-scheduler-"):
        cleaned["reportingInstance"] = "default-scheduler-<host>"
    return cleaned


def _key(key: str) -> str:
    return _UID.sub("<uid>", key) if len(key) > 35 else text(key)


def _manager(entry: Any) -> tuple[str, ...]:
    named = entry if isinstance(entry, dict) else {}
    return tuple(str(named.get(key, "")) for key in ("manager", "operation", "subresource", "apiVersion"))


def row(content: dict[str, Any], columns: list[Any]) -> dict[str, Any]:
    """A row of a table without what varies: ages, and what its object has."""
    names = [column.get("name") if isinstance(column, dict) else None for column in columns]
    cells = content.get("cells")
    shown = {key: value(part, key) for key, part in content.items()}
    if isinstance(cells, list):
        shown["cells"] = [
            _cell(cell, names[index] if index < len(names) else None, is_name=index == 0)
            for index, cell in enumerate(cells)
        ]
    return shown


def _cell(cell: Any, column: Any, *, is_name: bool) -> Any:
    if not isinstance(cell, str):
        return cell
    if column in _AGES:
        return "<age>" if _AGE.match(cell) else cell
    return generated(cell) if is_name else text(_AGO.sub(" (<age> ago)", cell))
