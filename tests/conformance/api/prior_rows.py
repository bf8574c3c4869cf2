"""Objects that existed before a recording and of which only table rows, or refusals, tell."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

Create = tuple[str, dict[str, Any]]
"""Collection path, object."""

Row = dict[str, Any]


def from_rows(exchanges: list[dict[str, Any]], known: set[tuple[str, str, str]]) -> Iterator[Create]:
    """ConfigMaps, Secrets, disruption budgets and autoscalers, as far as their rows describe them.

    Args:
        exchanges: the recording.
        known: (kind, namespace, name) of what other answers show, or what it creates.
    """
    found: set[tuple[str, str, str]] = set(known)
    for exchange in exchanges:
        table, path = exchange["response"].get("body"), exchange["request"]["path"]
        plural = path.rstrip("/").rpartition("/")[2]
        if not isinstance(table, dict) or table.get("kind") != "Table" or plural not in _MAKERS:
            continue
        for row in table.get("rows") or []:
            metadata = row["object"].get("metadata") or {}
            kind, made = _MAKERS[plural]
            key = (kind, metadata.get("namespace", ""), metadata.get("name", ""))
            if key in found or key[2] == "kube-root-ca.crt":
                continue
            found.add(key)
            kept = {name: metadata[name] for name in ("name", "namespace", "labels") if name in metadata}
            yield path, {"kind": kind, "metadata": kept, **made(row["cells"])}


def from_refusals(parts: list[dict[str, Any]], known: set[tuple[str, str, str]]) -> Iterator[Create]:
    """Disruption budgets that an eviction was refused for.

    Args:
        parts: the recording.
        known: (kind, namespace, name) of what other answers show, or what it creates.
    """
    found: set[tuple[str, str, str]] = set(known)
    for part in parts:
        for exchange in part.get("exchanges") or []:
            refused = _BUDGET.search(str(exchange["response"].get("body")))
            path = exchange["request"]["path"].split("/")
            if not refused or path[-1] != "eviction":
                continue
            namespace, pod = path[path.index("namespaces") + 1], path[-2]
            key = ("PodDisruptionBudget", namespace, refused[1])
            labels = _labels_of(pod, parts)
            if key in found or not labels:
                continue
            found.add(key)
            spec = {"minAvailable": int(refused[2]), "selector": {"matchLabels": labels}}
            metadata = {"name": refused[1], "namespace": namespace}
            yield (
                f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
                {"apiVersion": "policy/v1", "kind": key[0], "metadata": metadata, "spec": spec},
            )


_BUDGET = re.compile(r"The disruption budget ([\w.-]+) needs (\d+) healthy pods")


def _labels_of(pod: str, parts: list[dict[str, Any]]) -> dict[str, str]:
    """The labels of a pod that a recording shows anywhere, without what a controller added."""
    for metadata in _metadata_in(parts):
        if metadata.get("name") == pod and metadata.get("labels"):
            return {key: value for key, value in metadata["labels"].items() if key != "pod-template-hash"}
    return {}


def _metadata_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _metadata_in(item)
    elif isinstance(value, dict):
        if isinstance(value.get("metadata"), dict):
            yield value["metadata"]
        for item in value.values():
            yield from _metadata_in(item)


def _config_map(cells: list[Any]) -> Row:
    return {"apiVersion": "v1", "data": {f"key-{n}": "value" for n in range(int(cells[1]))}}


def _secret(cells: list[Any]) -> Row:
    value = base64.b64encode(b"value").decode()
    return {"apiVersion": "v1", "type": cells[1], "data": {f"key-{n}": value for n in range(int(cells[2]))}}


def _budget(cells: list[Any]) -> Row:
    least, most = cells[1], cells[2]
    limit = {"minAvailable": _count(least)} if least != "N/A" else {"maxUnavailable": _count(most)}
    return {"apiVersion": "policy/v1", "spec": {**limit, "selector": {"matchLabels": {"app": cells[0]}}}}


def _count(text: Any) -> int | str:
    return int(text) if str(text).isdecimal() else str(text)


def _autoscaler(cells: list[Any]) -> Row:
    kind, _, name = cells[1].partition("/")
    share = cells[2].rpartition("/")[2].rstrip("%")
    target = {"type": "Utilization", "averageUtilization": int(share) if share.isdecimal() else 80}
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
        "maxReplicas": int(cells[4]),
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    if str(cells[3]).isdecimal():
        spec["minReplicas"] = int(cells[3])
    return {"apiVersion": "autoscaling/v2", "spec": spec}


_MAKERS: dict[str, tuple[str, Callable[[list[Any]], Row]]] = {
    "configmaps": ("ConfigMap", _config_map),
    "secrets": ("Secret", _secret),
    "poddisruptionbudgets": ("PodDisruptionBudget", _budget),
    "horizontalpodautoscalers": ("HorizontalPodAutoscaler", _autoscaler),
}
