"""A loaded server: puts engine, metrics and HTTP together, and shuts them down in vLLM's order."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from aiohttp import web

from services.mock_vllm.admin import build_admin_app
from services.mock_vllm.api import Api, build_app
from services.mock_vllm.completions import Completions
from services.mock_vllm.engine import Engine, EngineLimits
from services.mock_vllm.engine_loop import EngineLoop
from services.mock_vllm.faults import FaultSwitch
from services.mock_vllm.gpu import GpuState, write_state
from services.mock_vllm.logs import API, ENGINE
from services.mock_vllm.metrics import EngineMetrics, new_registry
from services.mock_vllm.options import Options
from services.mock_vllm.settings import Settings

_KEEP_ALIVE_SECONDS = 5.0
_LAST_RESPONSES_SECONDS = 2.0
_GPU_SAMPLE_SECONDS = 1.0


class Server:
    """The server after its model is loaded.

    Attributes:
        loop: the engine in time.
    """

    def __init__(self, options: Options, settings: Settings, faults: FaultSwitch, gpu_path: Path) -> None:
        self._options, self._settings, self._faults, self._gpu_path = options, settings, faults, gpu_path
        registry = new_registry()
        self._engine = Engine(_limits(options, settings))
        self._metrics = EngineMetrics(registry, options, self._engine)
        self.loop = EngineLoop(self._engine, self._metrics)
        self._api = Api(options, settings, self.loop, faults)
        completions = Completions(options, settings, self.loop, self._metrics, faults)
        app = build_app(self._api, completions, options, settings, registry)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            shutdown_timeout=_LAST_RESPONSES_SECONDS,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listener: socket.socket) -> None:
        """Begin to listen on the bound socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self._faults.subscribe(self.loop.apply)
        API.info("Starting vLLM server on http://%s:%d", self._options.host, self._options.port)
        API.info("Application startup complete.")
        self._tasks.append(asyncio.create_task(self._sample_gpu()))
        if self._options.log_stats:
            self._tasks.append(asyncio.create_task(self._heartbeat()))

    async def shut_down(self) -> None:
        """What SIGTERM causes: abort what is in flight, or let it finish for up to the shutdown timeout."""
        timeout_seconds = self._options.shutdown_timeout_seconds
        mode = "drain" if timeout_seconds else "abort"
        API.info("[shutdown] API server: shutdown triggered")
        API.info("[shutdown] API server: stopping engine client mode=%s timeout=%gs", mode, timeout_seconds)
        self.loop.begin_shutdown()
        if timeout_seconds:
            await self._drain(timeout_seconds)
        if self.loop.unfinished:
            ENGINE.info("[shutdown] EngineCore: aborting in-flight requests count=%d", self.loop.unfinished)
        self.loop.abort_all()
        await self.stop()

    async def stop(self) -> None:
        """Let the last responses out, then close everything."""
        await _wait(self._api.quiet, _LAST_RESPONSES_SECONDS)
        for task in self._tasks:
            task.cancel()
        self.loop.close()
        await self._runner.cleanup()

    async def _drain(self, timeout_seconds: float) -> None:
        count = self.loop.unfinished
        ENGINE.info("[shutdown] EngineCore: draining in-flight requests count=%d timeout=%gs", count, timeout_seconds)
        await _wait(self.loop.idle, timeout_seconds)

    async def _sample_gpu(self) -> None:
        """Keep the state that nvidia-smi shows up to date."""
        shown = None
        while True:
            state = self._gpu_state()
            if state != shown:
                write_state(self._gpu_path, state)
                shown = state
            await asyncio.sleep(_GPU_SAMPLE_SECONDS)

    def _gpu_state(self) -> GpuState:
        """vLLM takes its share of the GPU's memory as soon as it is up; the load shows in the utilization."""
        settings, running = self._settings, len(self._engine.running)
        reserved = int(settings.gpu_memory_bytes * self._options.gpu_memory_utilization)
        return GpuState(
            memory_total_bytes=settings.gpu_memory_bytes,
            memory_used_bytes=0 if self.loop.died.is_set() else settings.gpu_memory_used_bytes + reserved,
            utilization=min(1.0, 0.5 + running / self._options.max_num_seqs) if running else 0.0,
            clock=self._faults.current.gpu_throttle_factor,
            process_id=os.getpid(),
        )

    async def _heartbeat(self) -> None:
        """The statistics line; a real server leaves it out after an interval without work."""
        period, metrics = self._settings.heartbeat_seconds, self._metrics
        prompt, generated, was_busy = 0, 0, False
        while True:
            await asyncio.sleep(period)
            prompt_rate = (metrics.prompt_tokens_seen - prompt) / period
            generation_rate = (metrics.generation_tokens_seen - generated) / period
            prompt, generated = metrics.prompt_tokens_seen, metrics.generation_tokens_seen
            busy = bool(prompt_rate or generation_rate or self.loop.unfinished)
            if busy or was_busy:
                self._log_statistics(prompt_rate, generation_rate)
            was_busy = busy

    def _log_statistics(self, prompt_rate: float, generation_rate: float) -> None:
        API.info(
            "Engine 000: Avg prompt throughput: %.1f tokens/s, Avg generation throughput: %.1f tokens/s, "
            "Running: %d reqs, Waiting: %d reqs, GPU KV cache usage: %.1f%%, Prefix cache hit rate: 0.0%%",
            *(prompt_rate, generation_rate, len(self._engine.running), len(self._engine.waiting)),
            self._engine.kv_cache_usage * 100,
        )


async def start_admin(faults: FaultSwitch, settings: Settings) -> web.AppRunner | None:
    """Serve the fault port, if one is configured.

    Raises:
        OSError: the port cannot be had.
    """
    if not settings.admin_port:
        return None
    runner = web.AppRunner(build_admin_app(faults, settings.admin_token), access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, settings.admin_address, settings.admin_port).start()
    return runner


def _limits(options: Options, settings: Settings) -> EngineLimits:
    return EngineLimits(
        max_num_seqs=options.max_num_seqs,
        kv_cache_tokens=settings.kv_cache_tokens,
        tokens_per_second=settings.tokens_per_second,
        prefill_tokens_per_second=settings.prefill_tokens_per_second,
        time_to_first_token_seconds=settings.time_to_first_token_seconds,
        max_num_queued_reqs=options.max_num_queued_reqs,
        max_num_queued_tokens=options.max_num_queued_tokens,
    )


async def _wait(condition: asyncio.Event, timeout_seconds: float) -> None:
    """Wait for the condition, at most so long."""
    try:
        await asyncio.wait_for(condition.wait(), timeout_seconds)
    except TimeoutError:
        return
