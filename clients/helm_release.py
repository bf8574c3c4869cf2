"""A Helm release as Helm 3 and 4 store it: a Secret with base64 of gzip of JSON.

What is deployed is read from here, chart included, so that an upgrade needs no chart on the operator's disk.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from clients.errors import OperationFailed

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class StoredRelease:
    """One revision of a release.

    `user_values` are what its owner set, `chart` is the chart as Helm serialises it, `manifest` what it rendered.
    """

    name: str
    revision: int
    status: str
    description: str = ""
    deployed_at: str = ""
    manifest: str = ""
    user_values: Mapping[str, Any] = field(default_factory=dict)
    chart: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chart_name(self) -> str:
        return str((self.chart.get("metadata") or {}).get("name", ""))

    @property
    def chart_label(self) -> str:
        """Name and version, as `helm list` shows them."""
        metadata = self.chart.get("metadata") or {}
        return f"{metadata.get('name', '')}-{metadata.get('version', '')}"

    @property
    def computed_values(self) -> JsonObject:
        """The chart's defaults with the user's values over them (`helm get values --all`)."""
        return merge_values(self.chart.get("values") or {}, self.user_values)


def selector(release: str) -> str:
    """The label selector of a release's Secrets."""
    return f"owner=helm,name={release}"


def decode(secret: Mapping[str, Any]) -> StoredRelease:
    """Read one release Secret (its JSON as the API server gives it).

    Raises:
        OperationFailed: when its content is no stored release.
    """
    name = secret.get("metadata", {}).get("name", "?")
    try:
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        release = json.loads(gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed)
        info = release.get("info") or {}
        return StoredRelease(
            name=release["name"],
            revision=int(release["version"]),
            status=info.get("status", ""),
            description=info.get("description", ""),
            deployed_at=info.get("last_deployed", ""),
            manifest=release.get("manifest", ""),
            user_values=release.get("config") or {},
            chart=release.get("chart") or {},
        )
    except (KeyError, TypeError, ValueError, OSError, EOFError, binascii.Error) as error:
        raise OperationFailed(f"it holds no Helm release: {error}", where=f"Secret {name}") from error


def merge_values(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> JsonObject:
    """Helm's merge: maps are merged, everything else is replaced, null removes a default."""
    merged = dict(defaults)
    for key, value in overrides.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            merged[key] = merge_values(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def set_value(values: Mapping[str, Any], path: str, value: Any) -> JsonObject:
    """A copy of `values` with the one at a dotted path set, and everything else kept."""
    head, _, rest = path.partition(".")
    below = values.get(head)
    if not rest:
        return {**values, head: value}
    return {**values, head: set_value(below if isinstance(below, Mapping) else {}, rest, value)}


def write_chart(release: StoredRelease, folder: Path) -> Path:
    """Write the release's own chart below `folder` and return its path.

    Raises:
        OperationFailed: when the chart has dependencies (Helm does not store those) or names a file outside of
        itself.
    """
    metadata = release.chart.get("metadata") or {}
    if metadata.get("dependencies"):
        remedy = "give the chart by --chart PATH"
        raise OperationFailed("Helm stores no subcharts", where=f"chart {release.chart_label}", remedy=remedy)
    root = folder / (release.chart_name or "chart")
    root.mkdir(parents=True, exist_ok=True)
    (root / "Chart.yaml").write_text(_yaml(metadata), encoding="utf-8")
    (root / "values.yaml").write_text(_yaml(release.chart.get("values") or {}), encoding="utf-8")
    if schema := release.chart.get("schema"):
        (root / "values.schema.json").write_bytes(base64.b64decode(schema))
    for file in (*(release.chart.get("templates") or ()), *(release.chart.get("files") or ())):
        _write_file(root, str(file["name"]), base64.b64decode(file.get("data") or ""))
    return root


class _Quoting(yaml.SafeDumper):
    """Quotes every string: Helm's parser reads a bare Y as a boolean, Python's writes it for a string."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.dump(content, Dumper=_Quoting)


def _write_file(root: Path, name: str, data: bytes) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise OperationFailed(f"it names a file outside of itself: {name}", where=f"stored chart {root.name}")
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
