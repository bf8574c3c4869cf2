"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# A property must hold on a busy machine too; how long an example takes says nothing about it.
settings.register_profile("gameday", deadline=None)
settings.load_profile("gameday")
