"""One life of the server, from a bound port to an exit code: load, serve, die or be told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from services.mock_vllm.faults import FaultSwitch
from services.mock_vllm.gpu import GpuState, state_path, write_state
from services.mock_vllm.loading import LoadFailed, Model, load_model, log_load_failure
from services.mock_vllm.logs import API, ENGINE
from services.mock_vllm.options import Options
from services.mock_vllm.server import Server, start_admin
from services.mock_vllm.settings import Settings

EXIT_INTERRUPTED = 130
_DEATHS = {
    "fatal": "RuntimeError: CUDA error: an illegal memory access was encountered",
    "cuda-oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "worker": "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.",
}
_START_FAILED = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)
_T = TypeVar("_T")


class Stopped(Exception):
    """The process was told to stop while it did something that ends with it."""


async def live(options: Options, settings: Settings) -> int:
    """Live one life.

    Returns:
        The exit code: 0 after a shutdown or an engine death (as real vLLM), 1 when the start failed, 130 when a
        signal ended the load.
    """
    stop = _stop_on_signals()
    try:
        listener = _bind(options)
    except OSError as error:
        API.error("OSError: cannot bind %s:%d: %s", options.host, options.port, error.strerror)
        return 1
    faults = FaultSwitch(settings.faults, settings.seed)
    gpu_path = state_path(os.environ)
    _log_start(options, settings)
    with listener:
        write_state(gpu_path, _loading_gpu(settings))
        try:
            admin = await start_admin(faults, settings)
            model = await _until(stop, load_model(options, settings))
        except Stopped:
            API.error("KeyboardInterrupt: terminated")
            return EXIT_INTERRUPTED
        except OSError as error:
            API.error("OSError: cannot serve faults on MOCK_VLLM_ADMIN_PORT %d: %s", settings.admin_port, error)
            return 1
        except LoadFailed as failure:
            log_load_failure(failure)
            API.error("%s", _START_FAILED)
            return 1
        await _serve(options, settings, faults, gpu_path, model, listener, stop)
        if admin is not None:
            await admin.cleanup()
    return 0


async def _serve(
    options: Options,
    settings: Settings,
    faults: FaultSwitch,
    gpu_path: Path,
    model: Model,
    listener: socket.socket,
    stop: asyncio.Event,
) -> None:
    """Serve the model, which must stay in memory meanwhile, until a signal or the watchdog ends it."""
    server = Server(options, settings, faults, gpu_path)
    await server.start(listener)
    started = asyncio.get_running_loop().time()
    try:
        await _until(stop, server.loop.died.wait())
        _log_death(faults)
        await _until(stop, _watchdog(settings, started))
        await server.stop()
    except Stopped:
        await server.shut_down()
    del model


async def _watchdog(settings: Settings, started: float) -> None:
    """Looks every few seconds whether the engine lives, and ends the server when it does not."""
    if settings.keep_alive_on_engine_death:
        await asyncio.Event().wait()
    period = settings.watchdog_seconds
    alive_for = asyncio.get_running_loop().time() - started
    await asyncio.sleep(period - alive_for % period)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of the work, unless the process is told to stop first.

    Raises:
        Stopped: it was.
    """
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    raise Stopped


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _bind(options: Options) -> socket.socket:
    """The port, bound but not listening: connections are refused until the model is loaded, as on real vLLM."""
    listener = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
    except OSError:
        listener.close()
        raise
    return listener


def _loading_gpu(settings: Settings) -> GpuState:
    used = settings.gpu_memory_used_bytes + settings.weights_bytes
    return GpuState(settings.gpu_memory_bytes, min(used, settings.gpu_memory_bytes), process_id=os.getpid())


def _log_start(options: Options, settings: Settings) -> None:
    API.info("vLLM API server version %s", settings.version)
    API.info("model %s, served as %s", options.model, ", ".join(options.served_model_names))
    ENGINE.info("Initializing a V1 LLM engine (v%s) with max_seq_len=%d", settings.version, options.max_model_len)


def _log_death(faults: FaultSwitch) -> None:
    cause = _DEATHS[faults.current.engine_death or "fatal"]
    ENGINE.error("EngineCore encountered a fatal error.")
    ENGINE.error("%s", cause)
    API.error("EngineCore encountered an issue. See stack trace (above) for the root cause.")
