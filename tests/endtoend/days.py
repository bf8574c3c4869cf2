"""A cluster with both charts installed, the model registered and load on it, for tests that need no conductor."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from cluster.providers.embedded import EmbeddedProvider
from gameday.progress import Progress
from gameday.remediators import runbook
from gameday.session import GameDay, Subject
from gameday.slo import Slo
from gameday.timeline import Timeline
from load.profile import LoadProfile
from tests.endtoend.harness import ROOT, leftovers


@contextlib.contextmanager
def running_day(folder: Path) -> Iterator[GameDay]:
    """The running session; everything is stopped afterwards, and nothing may be left."""
    provider = EmbeddedProvider(ROOT / "services" / "images.yaml", ROOT / "cluster" / "gameday.yaml")
    cluster = provider.up(folder.name, state_dir=folder / "state", detached=False)
    chart, platform = ROOT / "charts" / "vllm-deployment", ROOT / "charts" / "platform"
    day = GameDay(
        folder=folder,
        subject=Subject(chart, (chart / "values-gameday.yaml",), platform, (platform / "values-gameday.yaml",)),
        slo=Slo.load(ROOT / "slo" / "gameday.yaml"),
        profile=LoadProfile(),
        timeline=Timeline(folder / "timeline.jsonl"),
        progress=Progress(Console(file=io.StringIO())),
        make_remediator=runbook,
        cluster=cluster,
    )
    try:
        day.install()
        day.begin()
        yield day
    finally:
        day.end()
        provider.down(folder / "state")
    assert leftovers(folder) == []
