"""How many differences each recording is known to have: CI fails when there are more."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.conformance.suite import Row

JITTER, JITTER_SHARE = 3, 0.05
"""How many differences more a recording may show on a busy machine, as a number and as a ratio of its exchanges:
moments of controllers that were recorded, and are passed too quickly or too slowly here. What breaks, breaks more."""
FILE = Path(__file__).with_name("known.json")


@cache
def _known() -> dict[str, int]:
    content: dict[str, int] = json.loads(FILE.read_text())
    return content


def known_differences(row: Row) -> int:
    """The most differences that a recording may have."""
    return _known().get(row.recording, 0) + max(JITTER, math.ceil(row.exchanges * JITTER_SHARE))


def worse(rows: Sequence[Row]) -> list[str]:
    """What got worse, as texts."""
    return [
        f"{row.recording}: {row.different} different, known are {known_differences(row)}"
        for row in rows
        if row.different > known_differences(row)
    ]
