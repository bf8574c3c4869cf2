"""Answers `/v1/completions` and `/v1/chat/completions`, streamed or whole."""

from __future__ import annotations

import uuid

from aiohttp import web

from services.mock_vllm.engine import QueueFull
from services.mock_vllm.engine_loop import EngineDead, EngineLoop
from services.mock_vllm.faults import FaultSwitch
from services.mock_vllm.generation import Generation, Renderer, event
from services.mock_vllm.metrics import EngineMetrics
from services.mock_vllm.options import Options
from services.mock_vllm.protocol import Completion, engine_busy, internal_error, parse_completion, parse_json
from services.mock_vllm.settings import Settings

_ENGINE_DEAD = "The server had an error while processing your request."
_DONE = b"data: [DONE]\n\n"


class Completions:
    """Turns requests into sequences and their progress into responses."""

    def __init__(
        self, options: Options, settings: Settings, loop: EngineLoop, metrics: EngineMetrics, faults: FaultSwitch
    ) -> None:
        self._options, self._settings = options, settings
        self._loop, self._metrics, self._faults = loop, metrics, faults

    async def text(self, http: web.Request) -> web.StreamResponse:
        """`POST /v1/completions`."""
        return await self._answer(http, chat=False)

    async def chat(self, http: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`."""
        return await self._answer(http, chat=True)

    async def _answer(self, http: web.Request, *, chat: bool) -> web.StreamResponse:
        request = parse_completion(parse_json(await http.read()), self._options, chat=chat)
        if self._faults.request_fails():
            raise internal_error("Internal server error")
        renderer = Renderer(http.headers.get("X-Request-Id") or uuid.uuid4().hex, request)
        generation = self._submit(request)
        try:
            if request.stream:
                return await self._stream(http, generation, renderer)
            return await self._whole(generation, renderer)
        finally:
            for choice in generation.choices:
                self._loop.abort(choice.sequence)

    def _submit(self, request: Completion) -> Generation:
        generation = Generation(request, seed=self._settings.seed, mean_tokens=self._settings.answer_tokens)
        try:
            self._loop.submit(choice.sequence for choice in generation.choices)
        except QueueFull as full:
            self._metrics.rejected(full.limit)
            raise engine_busy(full.limit) from full
        except EngineDead as dead:
            raise internal_error(_ENGINE_DEAD) from dead
        return generation

    async def _whole(self, generation: Generation, renderer: Renderer) -> web.StreamResponse:
        await generation.changed.wait()
        if generation.failed:
            raise internal_error(_ENGINE_DEAD)
        return web.json_response(renderer.full(generation))

    async def _stream(self, http: web.Request, generation: Generation, renderer: Renderer) -> web.StreamResponse:
        """Send each engine step's news in one write; once this has begun the status is 200 for ever."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        cut = self._faults.stream_is_cut()
        await response.prepare(http)
        while not generation.finished:
            await generation.changed.wait()
            generation.changed.clear()
            if generation.failed:
                break
            await response.write(_news(generation, renderer))
            if cut and generation.generated >= self._faults.current.cut_stream_after_tokens:
                _cut(http)
                return response
        await response.write(_ending(generation, renderer))
        return response


def _news(generation: Generation, renderer: Renderer) -> bytes:
    """Events of all choices that have something new."""
    usage = generation.usage() if generation.request.continuous_usage else None
    open_choices = [choice for choice in generation.choices if choice.unsent]
    return b"".join(renderer.events(choice, usage) for choice in open_choices)


def _ending(generation: Generation, renderer: Renderer) -> bytes:
    """The last events: an error or the usage, and the end mark."""
    if generation.failed:
        return event(internal_error(_ENGINE_DEAD).body()) + _DONE
    usage = renderer.usage_event(generation.usage()) if generation.request.include_usage else b""
    return usage + _DONE


def _cut(http: web.Request) -> None:
    """Break the connection without an end mark."""
    if http.transport is not None:
        http.transport.abort()
