"""Holds the embedded cluster to recordings of a real kubelet: ``replay`` does again what was recorded, and compares."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.embedded.resources import Resource
from tests.conformance.kubelet import lab, observe, script
from tests.conformance.kubelet.compare import Result, compare
from tests.conformance.kubelet.recording import Entry, Recording

__all__ = ["Result", "horizon_seconds", "replay", "replay_all"]

_AFTER_SECONDS = 3.0
_STAGGER_SECONDS = 1.0


def horizon_seconds() -> float:
    """How much of each recording is replayed: ``CONFORMANCE_SECONDS``, or 450 s, which all but one end within."""
    return float(os.environ.get("CONFORMANCE_SECONDS") or 450)


def replay(source: Path | str | Mapping[str, Any]) -> Result:
    """Replay one recording on a cluster of its own.

    Args:
        source: path of a recording (``.json``, ``.json.gz``), or its content.
    """
    return asyncio.run(_replay(Recording.load(source), horizon_seconds()))


def replay_all(sources: Iterable[Path]) -> list[Result]:
    """Replay recordings at the same time, each on a cluster of its own; the longest one starts first."""
    recordings = [Recording.load(source) for source in sources]
    horizon = horizon_seconds()

    async def staggered() -> list[Result]:
        order = sorted(recordings, key=lambda r: -min(r.timeline[-1].t, horizon))
        return await asyncio.gather(
            *(_replay(recording, horizon, delay=n * _STAGGER_SECONDS) for n, recording in enumerate(order))
        )

    return sorted(asyncio.run(staggered()), key=lambda result: result.recording)


async def _replay(recording: Recording, horizon: float, *, delay: float = 0.0) -> Result:
    result = Result(recording.name)
    wanted = _tried(recording, horizon, result)
    if wanted:
        await asyncio.sleep(delay)
        names = {obj["metadata"]["name"] for obj in recording.manifest}
        ours, scratch = await _observe(recording, wanted)
        same = {**observe.matching_names(recording.timeline, ours, names), scratch: "/tmp"}
        compare(wanted, ours, same, result)
    return result


def _tried(recording: Recording, horizon: float, result: Result) -> list[Entry]:
    """The entries that can be compared; the others are counted, with the reason."""
    plan = script.infer(recording)
    missing = _not_served(recording)
    wanted = []
    for entry in recording.timeline:
        if entry.resource == "action":
            continue
        result.total += 1
        if missing:
            result.skip(missing)
        elif entry.resource not in lab.BY_PLURAL:
            result.skip(f"{entry.resource} are not served")
        elif plan.unknown_from is not None and entry.t >= plan.unknown_from:
            result.skip(plan.reason)
        elif entry.t > horizon:
            result.skip(f"beyond the horizon of {horizon:.0f} s")
        else:
            wanted.append(entry)
    return wanted


def _not_served(recording: Recording) -> str:
    for obj in recording.manifest:
        try:
            lab.resource_of(obj)
        except lab.NotServed as missing:
            return str(missing)
    return ""


async def _observe(recording: Recording, wanted: Sequence[Entry]) -> tuple[Sequence[Entry], str]:
    """What a cluster of its own showed, and what stood for ``/tmp`` in it."""
    end = wanted[-1].t + _AFTER_SECONDS
    steps = [step for step in script.infer(recording).steps if step.t <= end]
    async with lab.running(recording) as cluster:
        observer = observe.Observer(cluster.client, recording.namespace)
        await observer.begin(_resources(wanted))
        for step in steps:
            await asyncio.sleep(max(step.t - observer.now, 0))
            await cluster.perform(step, recording.namespace)
        await asyncio.sleep(max(end - observer.now, 0))
        observer.end()
        return observer.entries, str(cluster.scratch)


def _resources(wanted: Sequence[Entry]) -> list[Resource]:
    return [lab.BY_PLURAL[plural] for plural in dict.fromkeys(entry.resource for entry in wanted)]
