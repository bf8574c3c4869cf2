"""Binds the feature files of a run to pytest-bdd. The conductor says which ones."""

from __future__ import annotations

from pytest_bdd import scenarios

from gameday.pytest_plugin import FEATURES

scenarios(*(str(path) for path in FEATURES), features_base_dir="/")
