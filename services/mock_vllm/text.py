"""Prompts measured in tokens, and answers that the seed and the prompt decide alone."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from services.mock_vllm.engine import FinishReason

_CHARACTERS_PER_TOKEN = 4
_TEXT = (
    "the model of a small cluster that serves tokens in steady streams while probes watch each pod and traffic "
    "flows through one router to many replicas whose caches fill with keys and values until memory is short "
    "again so old blocks are freed before new requests wait their turn on the next step"
)
_WORDS = _TEXT.split()


def count_tokens(text: str) -> int:
    """Tokens of a text, at four characters each, and at least one."""
    return max(1, math.ceil(len(text) / _CHARACTERS_PER_TOKEN))


@dataclass(frozen=True)
class AnswerLimits:
    """What bounds an answer.

    Attributes:
        max_tokens: hard limit in tokens.
        min_tokens: the answer does not end by itself before.
        ignore_eos: the answer does not end by itself at all.
        stop: strings that end it; they are not part of the answer.
    """

    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()


class Answer:
    """A planned answer: its length and end are known from the start, its text is made token by token.

    Args:
        key: decides text and natural length.
        limits: what bounds it.
        mean_tokens: mean natural length; the natural length is within half and one and a half of it.

    Attributes:
        planned_tokens: tokens until the planned end.
        planned_finish: why it ends there.
        stop_reason: the stop string that ends it, if any.
    """

    def __init__(self, key: str, limits: AnswerLimits, mean_tokens: int) -> None:
        self._random = random.Random(key)  # noqa: S311 - a text, not a secret
        self._tokens: list[str] = []
        natural = self._random.randint(math.ceil(mean_tokens * 0.5), math.floor(mean_tokens * 1.5))
        natural = max(limits.min_tokens, natural, 1)
        ends_itself = natural <= limits.max_tokens and not limits.ignore_eos
        self.planned_tokens = natural if ends_itself else limits.max_tokens
        self.planned_finish = FinishReason.STOP if ends_itself else FinishReason.LENGTH
        self.stop_reason: str | None = None
        if limits.stop:
            self._end_at_stop_string(limits)

    def text(self, end: int, start: int = 0) -> str:
        """The text of the tokens from `start` to before `end`."""
        self._make(end)
        return "".join(self._tokens[start:end])

    def _make(self, count: int) -> None:
        while len(self._tokens) < count:
            word = self._random.choice(_WORDS)
            self._tokens.append(f" {word}" if self._tokens else word)

    def _end_at_stop_string(self, limits: AnswerLimits) -> None:
        """Cut the answer before the first stop string within its planned length; new text alone is searched."""
        words = [word for word in limits.stop if word]
        overlap = max(map(len, words), default=1) - 1
        text = ""
        for count in range(1, self.planned_tokens + 1):
            before = len(text)
            text += self.text(count, count - 1)
            start = max(0, before - overlap)
            hits = [(text.find(word, start), word) for word in words if word in text[start:]]
            if hits and count >= limits.min_tokens:
                position, self.stop_reason = min(hits)
                self._cut(count, text[:position])
                return

    def _cut(self, count: int, text: str) -> None:
        """End with the given number of tokens and this text, which may end within an earlier token."""
        self.planned_tokens, self.planned_finish = count, FinishReason.STOP
        remaining = text
        for index in range(count):
            self._tokens[index] = remaining[: len(self._tokens[index])]
            remaining = remaining[len(self._tokens[index]) :]
