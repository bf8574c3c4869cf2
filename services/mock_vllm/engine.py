"""The scheduler: continuous batching over a limited number of sequences and a limited KV cache.

Pure: it does no I/O and reads no clock; the time comes in as an argument, in seconds of any monotonic clock. One
call of `step` is one engine step: it gives every decoding sequence one token. Source of the rules: vLLM V1's
scheduler (first come first served; when blocks run out the youngest running sequence is preempted, loses its cache
and returns to the head of the queue).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

BLOCK_TOKENS = 16
_MAX_STEPS_BEHIND = 20


class FinishReason(StrEnum):
    """Why a sequence ended, as `vllm:request_success_total{finished_reason}` counts it."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


class QueueFull(Exception):
    """A limit of the waiting queue is reached.

    Attributes:
        limit: `max_num_queued_reqs` or `max_num_queued_tokens`.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(frozen=True)
class EngineLimits:
    """Capacity and speed of the engine; the fields are those of `Settings` and `Options`."""

    max_num_seqs: int
    kv_cache_tokens: int
    tokens_per_second: float
    prefill_tokens_per_second: float
    time_to_first_token_seconds: float
    max_num_queued_reqs: int | None = None
    max_num_queued_tokens: int | None = None

    @property
    def blocks(self) -> int:
        """KV cache blocks in all."""
        return self.kv_cache_tokens // BLOCK_TOKENS


def _ignore(sequence: Sequence) -> None:
    """Nobody listens."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One answer in the making. Times are seconds of the caller's clock; None means that it has not come so far.

    Attributes:
        prompt_tokens: length of the prompt.
        planned_tokens: how many tokens the answer will have if nobody interferes.
        planned_finish: the reason it then ends with.
        max_tokens, n: what the request asked for, for metrics.
        on_progress: called after each new token and at the end.
        generated: tokens so far.
    """

    prompt_tokens: int
    planned_tokens: int
    planned_finish: FinishReason
    max_tokens: int = 0
    n: int = 1
    on_progress: Callable[[Sequence], None] = _ignore
    generated: int = 0
    preemptions: int = 0
    blocks: int = 0
    prefilled_at: float = math.inf
    arrived_at: float = 0.0
    admitted_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    finish_reason: FinishReason | None = None

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values the cache holds."""
        return self.prompt_tokens + self.generated


@dataclass(slots=True)
class StepReport:
    """What one engine step did, for metrics.

    Attributes:
        tokens: prompt and answer tokens processed.
        first_tokens: sequences that got their first token.
        intervals_seconds: time since the previous token, of every other sequence that got one.
        finished: sequences that ended.
        preemptions: sequences that lost their cache.
    """

    tokens: int = 0
    first_tokens: list[Sequence] = field(default_factory=list)
    intervals_seconds: list[float] = field(default_factory=list)
    finished: list[Sequence] = field(default_factory=list)
    preemptions: int = 0


class Engine:
    """Runs sequences in steps; see the module's text."""

    def __init__(self, limits: EngineLimits) -> None:
        self.limits = limits
        self.slowdown = 1.0
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self._free_blocks = limits.blocks
        self._prefill_free_at = -math.inf
        self._stepped_at = -math.inf

    @property
    def kv_cache_usage(self) -> float:
        """Share of the KV cache that is taken (0-1)."""
        return 1 - self._free_blocks / self.limits.blocks if self.limits.blocks else 0.0

    @property
    def step_seconds(self) -> float:
        """Time between two tokens of one sequence."""
        return self.slowdown / self.limits.tokens_per_second

    def check_room(self, prompt_tokens: int) -> None:
        """Whether one more request may queue.

        Raises:
            QueueFull: a configured limit would be exceeded.
        """
        if not self.waiting and len(self.running) < self.limits.max_num_seqs:
            return
        requests, tokens = self.limits.max_num_queued_reqs, self.limits.max_num_queued_tokens
        if requests is not None and len(self.waiting) >= requests:
            raise QueueFull("max_num_queued_reqs")
        if tokens is not None and sum(s.prompt_tokens for s in self.waiting) + prompt_tokens > tokens:
            raise QueueFull("max_num_queued_tokens")

    def submit(self, sequence: Sequence, now: float) -> None:
        """Queue a sequence; it starts at once if there is room."""
        sequence.arrived_at = now
        self.waiting.append(sequence)
        self._admit(now)

    def abort(self, sequence: Sequence, now: float, reason: FinishReason = FinishReason.ABORT) -> bool:
        """End a sequence early; False if it had ended already."""
        if sequence.finish_reason is not None:
            return False
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        else:
            self.waiting.remove(sequence)
        self._finish(sequence, reason, now)
        self._admit(now)
        return True

    def abort_all(self, now: float, reason: FinishReason = FinishReason.ABORT) -> list[Sequence]:
        """End everything that runs or waits; returns what was ended."""
        ended = [*self.running, *self.waiting]
        self.waiting.clear()
        for sequence in ended:
            self._release(sequence)
        self.running.clear()
        for sequence in ended:
            self._finish(sequence, reason, now)
        return ended

    def next_step_at(self) -> float | None:
        """When `step` has something to do; None when nothing runs."""
        if not self.running:
            return None
        first_due = min(sequence.prefilled_at for sequence in self.running)
        return max(first_due, self._stepped_at + self.step_seconds)

    def step(self, now: float) -> StepReport:
        """One engine step: a token for each sequence whose prompt is in, then room for those that wait."""
        report = StepReport()
        self._advance_cadence(now)
        for sequence in list(self.running):
            if sequence.prefilled_at <= now and sequence.blocks and self._make_room(sequence, report):
                self._generate(sequence, now, report)
        self.running = [sequence for sequence in self.running if sequence.finish_reason is None]
        self._admit(now)
        return report

    def _advance_cadence(self, now: float) -> None:
        """Remember when this step was due, so that late timers do not slow the rate; far behind, start anew."""
        due = self.next_step_at()
        behind = due is None or now - due > _MAX_STEPS_BEHIND * self.step_seconds
        self._stepped_at = now if behind or due is None else due

    def _admit(self, now: float) -> None:
        """Start waiting sequences in order, as long as a place and blocks for their tokens are free."""
        while self.waiting and len(self.running) < self.limits.max_num_seqs:
            sequence = self.waiting[0]
            needed = _blocks_for(sequence.tokens + 1)
            if needed > self._free_blocks:
                return
            self.waiting.popleft()
            self._free_blocks -= needed
            sequence.blocks = needed
            self._start(sequence, now)

    def _start(self, sequence: Sequence, now: float) -> None:
        """Prompts are taken in one after another; the fixed part of the first token's time runs in parallel."""
        prefill_seconds = self.slowdown * sequence.tokens / self.limits.prefill_tokens_per_second
        self._prefill_free_at = max(self._prefill_free_at, now) + prefill_seconds
        sequence.prefilled_at = self._prefill_free_at + self.slowdown * self.limits.time_to_first_token_seconds
        if sequence.admitted_at is None:
            sequence.admitted_at = now
        self.running.append(sequence)

    def _make_room(self, sequence: Sequence, report: StepReport) -> bool:
        """Blocks for one more token, at the cost of the youngest; False if the sequence itself had to give way."""
        needed = _blocks_for(sequence.tokens + 1) - sequence.blocks
        while needed > self._free_blocks:
            victim = self.running[-1]
            self._preempt(victim, report)
            if victim is sequence:
                return False
        self._free_blocks -= needed
        sequence.blocks += needed
        return True

    def _preempt(self, victim: Sequence, report: StepReport) -> None:
        self.running.remove(victim)
        self._release(victim)
        victim.prefilled_at = math.inf
        victim.preemptions += 1
        self.waiting.appendleft(victim)
        report.preemptions += 1

    def _generate(self, sequence: Sequence, now: float, report: StepReport) -> None:
        previous, sequence.last_token_at = sequence.last_token_at, now
        sequence.generated += 1
        if previous is None:
            sequence.first_token_at = now
            report.first_tokens.append(sequence)
            report.tokens += sequence.prompt_tokens
        else:
            report.intervals_seconds.append(now - previous)
        report.tokens += 1
        if sequence.generated >= sequence.planned_tokens:
            self._release(sequence)
            report.finished.append(sequence)
            self._finish(sequence, sequence.planned_finish, now)
        else:
            sequence.on_progress(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._free_blocks += sequence.blocks
        sequence.blocks = 0

    @staticmethod
    def _finish(sequence: Sequence, reason: FinishReason, now: float) -> None:
        sequence.finish_reason = reason
        sequence.finished_at = now
        sequence.on_progress(sequence)


def _blocks_for(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)
