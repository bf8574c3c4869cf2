"""Options of the replay suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--kubeconfig``: replay against that cluster; ``--replay``: against embedded ones."""
    group = parser.getgroup("conformance")
    group.addoption("--kubeconfig", default="", help="replay the API recordings against this cluster")
    group.addoption("--replay", action="store_true", help="replay the API recordings against embedded clusters")
