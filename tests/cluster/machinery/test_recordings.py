"""The registry answers recorded requests as the real server did."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.machinery.replay import (
    RECORDINGS,
    Replay,
    new_registry,
    normalised,
    recording,
    without_controllers,
    without_untold,
)

NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))


def comparable(ours: Any, recorded: Any) -> tuple[Any, Any]:
    """Both bodies in the form in which they must be equal; of lists only names are recorded."""
    if isinstance(recorded, dict) and "items" in recorded and isinstance(ours, list):
        names = [item["metadata"]["name"] for item in ours]
        return names, [item["metadata"]["name"] for item in recorded["items"]]
    ours, recorded = without_controllers(ours), without_controllers(recorded)
    return normalised(without_untold(ours, recorded)), normalised(recorded)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_flow_gets_the_recorded_answers(name: str) -> None:
    replay = Replay(new_registry())
    for exchange in recording(name):
        told = f"{name} #{exchange['n']}: {exchange.get('note', '')}"
        code, body = replay.send(exchange)
        ours, recorded = comparable(body, exchange["response"]["body"])
        assert code == exchange["response"]["status"], (told, ours)
        assert ours == recorded, told


def test_unknown_fields_are_warned_of() -> None:
    exchange = next(e for e in recording("object-errors") if e["n"] == 52)
    replay = Replay(new_registry())
    replay.send(exchange)
    assert sorted(replay.warnings) == sorted(exchange["response"]["warnings"])
