"""Requests and errors of the OpenAI-compatible API, in vLLM's shapes and words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from services.mock_vllm.options import Options
from services.mock_vllm.text import AnswerLimits, count_tokens

_CHAT_MESSAGE_OVERHEAD_TOKENS = 4
_COMPLETION_DEFAULT_TOKENS = 16
_MAX_ANSWERS = 128
_T = TypeVar("_T")


class ApiError(Exception):
    """An answer with an error body.

    Attributes:
        status: HTTP status.
        kind: `type` of the body, such as `BadRequestError`.
        param: the field at fault, if one is.
    """

    def __init__(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param

    def body(self) -> dict[str, Any]:
        """The body as JSON values."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}


def bad_request(message: str, param: str | None = None) -> ApiError:
    """A 400."""
    return ApiError(400, message, "BadRequestError", param)


def internal_error(message: str) -> ApiError:
    """A 500."""
    return ApiError(500, message, "InternalServerError")


def engine_busy(limit: str) -> ApiError:
    """The 503 of a queue limit (`max_num_queued_reqs`, `max_num_queued_tokens`)."""
    reasons = {
        "max_num_queued_reqs": "its limit of queued requests has been reached",
        "max_num_queued_tokens": "its prefill token backlog limit has been reached",
    }
    message = f"The engine is currently busy and cannot accept new requests: {reasons[limit]}. Please retry later."
    return ApiError(503, message, "ServiceUnavailableError")


@dataclass(frozen=True)
class Completion:
    """A valid request for completions, chat or not.

    Attributes:
        model: the name that was asked for.
        chat: whether it is a chat completion.
        prompts: what each answer continues, as text keys; answers are seeded by them.
        prompt_tokens: length of each prompt.
        limits: bounds of each answer.
        n: answers per prompt.
        stream, include_usage, continuous_usage: how the answer is sent.
        echo: whether completions begin with their prompt.
    """

    model: str
    chat: bool
    prompts: tuple[str, ...]
    prompt_tokens: tuple[int, ...]
    limits: AnswerLimits
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    echo: bool = False


def parse_json(text: bytes) -> Mapping[str, Any]:
    """The JSON object of a request body.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"JSON decode error: {error}", "Bad Request") from error
    if not isinstance(document, dict):
        raise ApiError(400, "Input should be a valid dictionary", "Bad Request")
    return document


def parse_completion(body: Mapping[str, Any], options: Options, *, chat: bool) -> Completion:
    """The request of a body for `/v1/completions` or `/v1/chat/completions`.

    Raises:
        ApiError: 404 for a model that is not served, 400 for anything else that is wrong.
    """
    fields = _Fields(body)
    model = fields.get("model", str, options.served_model_names[0])
    if model not in options.served_model_names:
        raise ApiError(404, f"The model `{model}` does not exist.", "NotFoundError", "model")
    prompts, tokens = _chat_prompt(fields) if chat else _prompts(fields)
    stream_options = _Fields(fields.get("stream_options", dict, {}))
    return Completion(
        model=model,
        chat=chat,
        prompts=prompts,
        prompt_tokens=tokens,
        limits=_limits(fields, max(tokens), options.max_model_len, chat=chat),
        n=_answers_per_prompt(fields),
        stream=fields.get("stream", bool, False),
        include_usage=stream_options.get("include_usage", bool, False),
        continuous_usage=stream_options.get("continuous_usage_stats", bool, False),
        echo=not chat and fields.get("echo", bool, False),
    )


class _Fields:
    """Typed access to the fields of a body; null counts as absent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def get(self, name: str, kind: type[_T], default: _T) -> _T:
        value = self._body.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise bad_request(f"Input should be a valid {kind.__name__}: {name}", name)
        return value

    def raw(self, name: str) -> Any:
        """A required field of any type."""
        value = self._body.get(name)
        if value is None:
            raise bad_request(f"Field required: {name}", name)
        return value

    def count(self, name: str, default: int, *, minimum: int) -> int:
        value = self.get(name, int, default)
        if value < minimum:
            raise bad_request(f"{name} must be at least {minimum}, got {value}.", name)
        return value

    def optional_count(self, *names: str) -> int | None:
        present = [name for name in names if self._body.get(name) is not None]
        return self.count(present[0], 0, minimum=1) if present else None


def _prompts(fields: _Fields) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Texts and token counts of `prompt`: a text, tokens, or a list of either."""
    prompt = fields.raw("prompt")
    batch = prompt if isinstance(prompt, list) and not _is_token_list(prompt) else [prompt]
    if not batch:
        raise bad_request("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    texts, counts = [], []
    for item in batch:
        if not isinstance(item, str) and not _is_token_list(item):
            raise bad_request("prompt must be a string, array of strings, array of tokens, or array of token arrays")
        texts.append(item if isinstance(item, str) else " ".join(map(str, item)))
        counts.append(count_tokens(item) if isinstance(item, str) else len(item))
    return tuple(texts), tuple(counts)


def _is_token_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int) for item in value)


def _chat_prompt(fields: _Fields) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The one prompt of `messages`, as a chat template would join them."""
    messages = fields.get("messages", list, [])
    if not messages:
        raise bad_request("Field required: messages", "messages")
    texts = [_message_text(message) for message in messages]
    tokens = sum(count_tokens(text) + _CHAT_MESSAGE_OVERHEAD_TOKENS for text in texts)
    return ("\n".join(texts),), (tokens,)


def _message_text(message: object) -> str:
    """The text of one message; its content is a text or a list of parts."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise bad_request("messages: each message needs a role", "messages")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(part for part in parts if isinstance(part, str))
    if content is not None and not isinstance(content, str):
        raise bad_request("messages: content must be a string or a list of parts", "messages")
    return f"{message['role']}: {content or ''}"


def _limits(fields: _Fields, prompt_tokens: int, max_model_len: int, *, chat: bool) -> AnswerLimits:
    """Bounds of the answers; prompt and answer together must fit the model's context."""
    asked = (
        fields.optional_count("max_completion_tokens", "max_tokens") if chat else fields.optional_count("max_tokens")
    )
    room = max_model_len - prompt_tokens
    if room < 1:
        raise bad_request(
            f"This model's maximum context length is {max_model_len} tokens. However, your request has "
            f"{prompt_tokens} input tokens. Please reduce the length of the input messages.",
            "input_tokens",
        )
    if asked is not None and asked > room:
        raise bad_request(
            f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length "
            f"is {max_model_len} tokens and your request has {prompt_tokens} input tokens "
            f"({asked} > {max_model_len} - {prompt_tokens}).",
            "max_tokens",
        )
    default = room if chat else min(room, _COMPLETION_DEFAULT_TOKENS)
    return AnswerLimits(
        max_tokens=asked or default,
        min_tokens=fields.count("min_tokens", 0, minimum=0),
        ignore_eos=fields.get("ignore_eos", bool, False),
        stop=_stop_strings(fields),
    )


def _answers_per_prompt(fields: _Fields) -> int:
    n = fields.count("n", 1, minimum=1)
    if n > _MAX_ANSWERS:
        raise bad_request(f"n must be at most {_MAX_ANSWERS}, got {n}.", "n")
    return n


def _stop_strings(fields: _Fields) -> tuple[str, ...]:
    stop = fields.get("stop", object, [])
    strings = [stop] if isinstance(stop, str) else stop
    if not isinstance(strings, list) or not all(isinstance(word, str) for word in strings):
        raise bad_request("stop must be a string or a list of strings", "stop")
    return tuple(strings)
