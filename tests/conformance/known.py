"""How many differences each recording is known to have: CI fails when there are more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.conformance.suite import Row

JITTER = 3
"""How many differences more a recording may show on a busy machine: moments of controllers that were recorded, and are
passed too quickly or too slowly here. Lower it as the known differences go."""
FILE = Path(__file__).with_name("known.json")


@cache
def _known() -> dict[str, int]:
    content: dict[str, int] = json.loads(FILE.read_text())
    return content


def known_differences(recording: str) -> int:
    """The most differences that a recording may have."""
    return _known().get(recording, 0) + JITTER


def worse(rows: Sequence[Row]) -> list[str]:
    """What got worse, as texts."""
    return [
        f"{row.recording}: {row.different} different, known are {known_differences(row.recording)}"
        for row in rows
        if row.different > known_differences(row.recording)
    ]
