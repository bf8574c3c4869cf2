"""The real Helm engine (Helm 4, through helm-python-sdk) behind a few typed calls and our own errors."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.errors import DeadlineExceeded, InputError, OperationFailed

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Revision:
    """One entry of `helm history`."""

    number: int
    status: str
    description: str
    chart: str
    deployed_at: str


class HelmClient:
    """Releases of one namespace.

    Args:
        kubeconfig: the cluster to talk to.
        namespace: where the releases live.

    Every method raises OperationFailed with Helm's own words when Helm says no.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace

    def install(
        self,
        chart: Path,
        release: str,
        values: Mapping[str, Any],
        *,
        wait_seconds: int | None = None,
        create_namespace: bool = False,
    ) -> None:
        """`helm install`; waits for readiness when ``wait_seconds`` is given."""
        with self._config() as config:
            config.install(
                chart,
                release,
                dict(values),
                create_namespace=create_namespace,
                **_wait(wait_seconds),
            )

    def upgrade(
        self,
        chart: Path,
        release: str,
        values: Mapping[str, Any],
        *,
        wait_seconds: int | None = None,
        description: str | None = None,
    ) -> None:
        """`helm upgrade` with exactly these user values (chart defaults apply, earlier values do not)."""
        with self._config() as config:
            config.upgrade(
                chart, release, dict(values), reset_values=True, description=description, **_wait(wait_seconds)
            )

    def rollback(self, release: str, revision: int, *, wait_seconds: int | None = None) -> None:
        """`helm rollback RELEASE REVISION`."""
        with self._config() as config:
            config.rollback(release, version=revision, **_wait(wait_seconds))

    def uninstall(self, release: str, *, wait_seconds: int | None = None) -> None:
        """`helm uninstall`; a release that is not there is fine."""
        with self._config() as config:
            config.uninstall(release, ignore_not_found=True, **_wait(wait_seconds))

    def history(self, release: str) -> list[Revision]:
        """All revisions, in every state, oldest first; empty when there is no such release."""
        import helm_python

        with self._config() as config:
            try:
                entries = config.history(release)
            except helm_python.HelmNotFoundError:
                return []
            return sorted((_revision(entry) for entry in entries), key=lambda revision: revision.number)

    def values(self, release: str, *, revision: int | None = None, computed: bool = False) -> Values:
        """The user's values of a release, or with ``computed`` those values merged over the chart's defaults."""
        with self._config() as config:
            found: Values = config.get_values(release, revision=revision, all_values=computed)
            return found or {}

    @contextmanager
    def _config(self) -> Iterator[Any]:
        import helm_python

        try:
            with helm_python.Config(kubeconfig_path=self._kubeconfig, namespace=self._namespace) as config:
                yield config
        except helm_python.HelmError as error:
            text = str(error)
            if "deadline exceeded" in text or "timed out" in text:
                raise DeadlineExceeded(text, where=f"helm in namespace {self._namespace}") from error
            raise OperationFailed(text, where=f"helm in namespace {self._namespace}") from error


def render(chart: Path, release: str, namespace: str, values: Mapping[str, Any]) -> dict[str, str]:
    """`helm template`: manifests by template name. Raises InputError that names the chart."""
    import helm_python

    try:
        with helm_python.Chart.load(chart) as loaded:
            manifests: dict[str, str] = loaded.render(dict(values), name=release, namespace=namespace)
            return manifests
    except helm_python.HelmError as error:
        raise InputError(
            f"the chart does not render: {error}", where=str(chart), remedy="mend the chart or its values"
        ) from error


def stored_chart(release_secret: bytes, folder: Path) -> Path:
    """Write the chart that a release Secret holds below a folder and return its path.

    Args:
        release_secret: the Secret's ``data.release`` as the API gives it (base64 of Helm's base64 of gzip of JSON).
    """
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(release_secret))))
    chart = release["chart"]
    root = folder / chart["metadata"]["name"]
    root.mkdir(parents=True, exist_ok=True)
    (root / "Chart.yaml").write_text(json.dumps(chart["metadata"]))
    (root / "values.yaml").write_text(json.dumps(chart.get("values") or {}))
    if chart.get("schema"):
        (root / "values.schema.json").write_bytes(base64.b64decode(chart["schema"]))
    for item in (*(chart.get("templates") or []), *(chart.get("files") or [])):
        path = (root / item["name"]).resolve()
        if not path.is_relative_to(root.resolve()):
            raise OperationFailed("the stored chart names a file outside of itself", where=item["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(item["data"]))
    return root


def set_value(values: Mapping[str, Any], path: str, value: Any) -> Values:
    """A copy of values with one dotted path set, as `helm --set` does."""
    result = deepcopy(dict(values))
    node = result
    *parents, last = path.split(".")
    for part in parents:
        child = node.get(part)
        node[part] = child if isinstance(child, dict) else {}
        node = node[part]
    node[last] = value
    return result


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """Values merged as Helm merges them: maps by key, anything else replaced."""
    result = deepcopy(dict(base))
    for key, value in over.items():
        both_maps = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both_maps else deepcopy(value)
    return result


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted paths at which two values differ, with the old and the new value."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found.update(changes(before, after, f"{prefix}{key}."))
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found


def _wait(seconds: int | None) -> dict[str, Any]:
    return {} if seconds is None else {"wait": "watcher", "timeout": seconds}


def _revision(entry: Mapping[str, Any]) -> Revision:
    return Revision(
        number=int(entry["revision"]),
        status=str(entry.get("status", "")),
        description=str(entry.get("description", "")),
        chart=f"{entry.get('chart_name', '')}-{entry.get('chart_version', '')}",
        deployed_at=str(entry.get("deployed_at", "")),
    )
