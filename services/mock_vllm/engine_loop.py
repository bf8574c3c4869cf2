"""Runs the engine on the event loop: one timer for the next step of all sequences, none while nothing runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from services.mock_vllm.engine import Engine, FinishReason, Sequence, StepReport
from services.mock_vllm.faults import Faults


class StepObserver(Protocol):
    """Who wants to know what the engine did."""

    def stepped(self, report: StepReport) -> None:
        """After each engine step."""

    def ended(self, sequence: Sequence) -> None:
        """After each sequence's end, whatever the reason."""


class EngineDead(Exception):
    """The engine has died; requests fail with a 500 and `/health` with a 503."""


class EngineLoop:
    """The engine in time: takes sequences, makes steps when they are due, stops when it hangs or dies."""

    def __init__(self, engine: Engine, observer: StepObserver) -> None:
        self.engine = engine
        self.died = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self._observer = observer
        self._hung = False
        self._shutting_down = False
        self._timer: asyncio.TimerHandle | None = None
        self._clock = asyncio.get_running_loop().time

    @property
    def unfinished(self) -> int:
        """Sequences that run or wait."""
        return len(self.engine.running) + len(self.engine.waiting)

    def submit(self, sequences: Iterable[Sequence]) -> None:
        """Queue the sequences of one request; while shutting down they are aborted at once.

        Raises:
            EngineDead: nobody is there to run them.
            QueueFull: a queue limit is reached; none of them is queued.
        """
        if self.died.is_set():
            raise EngineDead
        batch = list(sequences)
        if not self._shutting_down:
            self.engine.check_room(sum(sequence.prompt_tokens for sequence in batch))
        for sequence in batch:
            self.engine.submit(sequence, self._clock())
            if self._shutting_down:
                self.abort(sequence)
        self._schedule()

    def abort(self, sequence: Sequence, reason: FinishReason = FinishReason.ABORT) -> None:
        """End a sequence early; nothing happens if it has ended."""
        if self.engine.abort(sequence, self._clock(), reason):
            self._observer.ended(sequence)
        self._schedule()

    def abort_all(self, reason: FinishReason = FinishReason.ABORT) -> int:
        """End everything; returns how many sequences that were."""
        ended = self.engine.abort_all(self._clock(), reason)
        for sequence in ended:
            self._observer.ended(sequence)
        self._schedule()
        return len(ended)

    def begin_shutdown(self) -> None:
        """From now on new sequences are aborted; those under way go on."""
        self._shutting_down = True

    def apply(self, faults: Faults) -> None:
        """Take over speed and hang; an engine that is to die dies here."""
        self.engine.slowdown = faults.slowdown
        self._hung = faults.hang
        if faults.engine_death:
            self.die()
        self._schedule()

    def die(self) -> None:
        """The engine is gone: everything under way ends with an error."""
        self.died.set()
        self.abort_all(FinishReason.ERROR)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self.close()
        if self.unfinished:
            self.idle.clear()
        else:
            self.idle.set()
        due = self.engine.next_step_at()
        if due is not None and not self._hung:
            self._timer = asyncio.get_running_loop().call_at(due, self._step)

    def _step(self) -> None:
        report = self.engine.step(self._clock())
        self._observer.stepped(report)
        for sequence in report.finished:
            self._observer.ended(sequence)
        self._schedule()
