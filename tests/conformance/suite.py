"""Runs the replay of both kinds of recordings, and gives their results one shape."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.conformance.api.replay import Result, replay
from tests.conformance.kubelet import replay_all
from tests.conformance.recordings import Flow, flows


@dataclass(frozen=True, slots=True)
class Row:
    """One recording: how many of its exchanges (or timeline entries) were equal, different, out of scope."""

    recording: str
    exchanges: int
    equal: int
    different: int
    unsupported: int
    details: Sequence[str] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, str | int]:
        """The numbers alone."""
        names = ("exchanges", "equal", "different", "unsupported")
        return {"recording": self.recording, **{name: int(getattr(self, name)) for name in names}}


def run_api(only: Sequence[str] = (), kubeconfig: str = "", jobs: int = 4) -> list[Row]:
    """Replay recordings of the control plane, several at a time, each flow on a cluster of its own."""
    chosen = [flow for flow in flows("api") if _is_chosen(flow.name, only)]
    with ProcessPoolExecutor(1 if kubeconfig else jobs) as pool:
        found = pool.map(replay_flow, chosen, [kubeconfig] * len(chosen))
        return [_row(result) for results in found for result in results]


def replay_flow(flow: Flow, kubeconfig: str = "") -> list[Result]:
    """The results of a flow's parts. A replay that breaks is a difference in each of its exchanges."""
    try:
        return asyncio.run(replay(flow, kubeconfig))
    except Exception:
        broken = []
        for name, content in flow.parts():
            count = len(content.get("exchanges") or ())
            broken.append(Result(name, count, different=count, details=[f"not replayed: {traceback.format_exc()}"]))
        return broken


def run_kubelet(only: Sequence[str] = ()) -> list[Row]:
    """Replay recordings of a kubelet, all at the same time, as far as the horizon."""
    chosen = [flow.paths[0] for flow in flows("kubelet") if _is_chosen(flow.name, only)]
    return [
        Row(r.recording, r.total, r.equal, r.different, r.unsupported, r.details, r.reasons)
        for r in (replay_all(chosen) if chosen else [])
    ]


def _row(result: Result) -> Row:
    numbers = (result.exchanges, result.equal, result.different, result.unsupported)
    return Row(result.recording, *numbers, result.details, result.reasons)


def _is_chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(name.startswith(part) for part in only)
