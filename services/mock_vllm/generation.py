"""The answers to one request: sequences in the engine, and the JSON that becomes of them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from services.mock_vllm.engine import FinishReason, Sequence
from services.mock_vllm.protocol import Completion
from services.mock_vllm.text import Answer


@dataclass
class Choice:
    """One answer: its plan, its progress, and how much of it has been sent.

    Attributes:
        prefix: text before the answer (an echoed prompt).
        opened, closed: whether its first and its last event have been made.
    """

    index: int
    prefix: str
    answer: Answer
    sequence: Sequence
    sent_tokens: int = 0
    opened: bool = False
    closed: bool = False

    @property
    def unsent(self) -> bool:
        """Whether there is something new to send."""
        news = self.sequence.generated > self.sent_tokens or self.sequence.finish_reason is not None
        return news and not self.closed

    @property
    def stop_reason(self) -> str | None:
        """The stop string that ended the answer."""
        return self.answer.stop_reason if self.sequence.finish_reason is FinishReason.STOP else None

    def text(self) -> str:
        """All text so far."""
        return self.prefix + self.answer.text(self.sequence.generated)

    def take(self) -> str:
        """The text since the last call."""
        start, self.sent_tokens = self.sent_tokens, self.sequence.generated
        first, self.opened = not self.opened, True
        self.closed = self.sequence.finish_reason is not None
        return (self.prefix if first else "") + self.answer.text(self.sequence.generated, start)


class Generation:
    """All answers of one request.

    Attributes:
        changed: set after each new token of a stream, and when the last answer ends.
    """

    def __init__(self, request: Completion, *, seed: int, mean_tokens: int) -> None:
        self.request = request
        self.changed = asyncio.Event()
        self.choices = [self._choice(index, prompt, mean_tokens, seed) for index, prompt in enumerate(_repeat(request))]
        self._open = len(self.choices)

    @property
    def finished(self) -> bool:
        """Whether all answers have ended."""
        return self._open == 0

    @property
    def failed(self) -> bool:
        """Whether an answer ended with an error."""
        return any(choice.sequence.finish_reason is FinishReason.ERROR for choice in self.choices)

    @property
    def generated(self) -> int:
        """Tokens of all answers so far."""
        return sum(choice.sequence.generated for choice in self.choices)

    def usage(self) -> dict[str, Any]:
        """The `usage` object."""
        prompt_tokens = sum(self.request.prompt_tokens)
        return {
            "prompt_tokens": prompt_tokens,
            "total_tokens": prompt_tokens + self.generated,
            "completion_tokens": self.generated,
            "prompt_tokens_details": None,
        }

    def _choice(self, index: int, prompt: tuple[str, int], mean_tokens: int, seed: int) -> Choice:
        text, tokens = prompt
        limits, n = self.request.limits, self.request.n
        answer = Answer(f"{seed}:{index % n}:{text}", limits, mean_tokens)
        sequence = Sequence(
            prompt_tokens=tokens,
            planned_tokens=answer.planned_tokens,
            planned_finish=answer.planned_finish,
            max_tokens=limits.max_tokens,
            n=n,
            on_progress=self._progressed,
        )
        return Choice(index, text if self.request.echo else "", answer, sequence)

    def _progressed(self, sequence: Sequence) -> None:
        self._open -= sequence.finish_reason is not None
        if self.request.stream or self.finished:
            self.changed.set()


def _repeat(request: Completion) -> list[tuple[str, int]]:
    prompts = zip(request.prompts, request.prompt_tokens, strict=True)
    return [prompt for prompt in prompts for _ in range(request.n)]


class Renderer:
    """JSON of one request's answers, as vLLM's completions and chat completions have it."""

    def __init__(self, request_id: str, request: Completion) -> None:
        self._chat = request.chat
        self._head = {
            "id": f"{'chatcmpl' if request.chat else 'cmpl'}-{request_id}",
            "object": "",
            "created": int(time.time()),
            "model": request.model,
        }

    def full(self, generation: Generation) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        kind = "chat.completion" if self._chat else "text_completion"
        choices = [self._full_choice(choice) for choice in generation.choices]
        return self._head | {"object": kind, "choices": choices, "usage": generation.usage()}

    def events(self, choice: Choice, usage: dict[str, Any] | None) -> bytes:
        """Server-sent events with what is new in a choice; a chat's first one names the role."""
        opening = b""
        if self._chat and not choice.opened:
            opening = self._event([self._choice(choice.index, {"role": "assistant", "content": ""}, None, None)], None)
        text, finish = choice.take(), choice.sequence.finish_reason
        piece = self._choice(choice.index, {"content": text} if self._chat else text, finish, choice.stop_reason)
        return opening + self._event([piece], usage)

    def usage_event(self, usage: dict[str, Any]) -> bytes:
        """The event that `include_usage` asks for."""
        return self._event([], usage)

    def _full_choice(self, choice: Choice) -> dict[str, Any]:
        finish = choice.sequence.finish_reason
        if not self._chat:
            return self._choice(choice.index, choice.text(), finish, choice.stop_reason)
        message: dict[str, Any] = {"role": "assistant", "content": choice.text(), "refusal": None, "tool_calls": []}
        document = self._choice(choice.index, message, finish, choice.stop_reason)
        document["message"] = document.pop("delta")
        return document

    def _choice(
        self, index: int, content: object, finish: FinishReason | None, stop_reason: str | None
    ) -> dict[str, Any]:
        key = "delta" if self._chat else "text"
        return {
            "index": index,
            key: content,
            "logprobs": None,
            "finish_reason": finish,
            "stop_reason": stop_reason,
        }

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        document = self._head | {"object": kind, "choices": choices}
        return event(document if usage is None else document | {"usage": usage})


def event(document: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
