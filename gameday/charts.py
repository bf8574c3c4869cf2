"""Renders charts with the real Helm engine, without a cluster: what cannot be rendered is refused at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients.errors import InputError


def render(chart: Path, release: str, namespace: str, values: Mapping[str, Any]) -> dict[str, str]:
    """`helm template`: manifests by template name. Raises InputError that names the chart."""
    import helm_python

    try:
        with helm_python.Chart.load(chart) as loaded:
            manifests: dict[str, str] = loaded.render(dict(values), name=release, namespace=namespace)
            return manifests
    except helm_python.HelmError as error:
        problem = " ".join(str(error).split())
        raise InputError(
            f"the chart does not render: {problem}", where=str(chart), remedy="mend the chart or its values"
        ) from error
