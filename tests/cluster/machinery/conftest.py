"""Fixtures of the API machinery's tests."""

from __future__ import annotations

import pytest

from cluster.embedded.apiserver.registry import Registry
from tests.cluster.machinery.replay import new_registry


@pytest.fixture
def registry() -> Registry:
    """A registry with the namespaces default, kube-system and system."""
    return new_registry()
