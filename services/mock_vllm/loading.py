"""The model: memory that is really taken, in the time a load takes, with the failures a load can end in.

The weights are private anonymous memory, as a loader's tensors are; a container whose limit they exceed is killed
in the middle of the load, without a last word. Log lines: vLLM 0.33.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import re
import time
from dataclasses import dataclass

from services.mock_vllm.engine import BLOCK_TOKENS
from services.mock_vllm.logs import ENGINE
from services.mock_vllm.options import Options
from services.mock_vllm.quantity import gibibytes
from services.mock_vllm.settings import Settings

_STEP_BYTES = 2 * 2**20
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


class LoadFailed(Exception):
    """The model could not be loaded; the server ends with exit code 1.

    Attributes:
        error: the line that the engine's traceback ends with.
        hints: error lines that precede it.
    """

    def __init__(self, error: str, *hints: str) -> None:
        super().__init__(error)
        self.error, self.hints = error, hints


@dataclass(frozen=True)
class Model:
    """A loaded model; it holds its memory as long as it lives."""

    memory: mmap.mmap | None


async def load_model(options: Options, settings: Settings) -> Model:
    """Load the model as vLLM does: find it, take its memory step by step, size the KV cache, warm up.

    Raises:
        LoadFailed: it cannot be loaded; the text says why, in vLLM's words.
    """
    started = time.monotonic()
    _find_model(options.model, settings)
    _check_free_gpu_memory(options, settings)
    ENGINE.info("Starting to load model %s...", options.model)
    _check_weights(options, settings)
    memory = await _take_memory(settings.weights_bytes, settings.load_seconds)
    loaded = time.monotonic() - started
    ENGINE.info("Loading weights took %.2f seconds", loaded)
    ENGINE.info("Model loading took %s GiB memory and %.6f seconds", gibibytes(settings.weights_bytes), loaded)
    _size_kv_cache(options, settings)
    ENGINE.info("Graph capturing finished in 0 secs, took 0.00 GiB")
    ENGINE.info("init engine (profile, create kv cache, warmup model) took %.2f seconds", time.monotonic() - started)
    return Model(memory)


async def _take_memory(amount_bytes: int, seconds: float) -> mmap.mmap | None:
    """Private anonymous memory, touched step by step over the given time."""
    if not amount_bytes:
        await asyncio.sleep(seconds)
        return None
    memory = mmap.mmap(-1, amount_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    steps = -(-amount_bytes // _STEP_BYTES)
    started = time.monotonic()
    for step in range(steps):
        size = min(_STEP_BYTES, amount_bytes - step * _STEP_BYTES)
        memory.write(b"\x2a" * size)
        await asyncio.sleep(max(0.0, started + seconds * (step + 1) / steps - time.monotonic()))
    return memory


def _find_model(model: str, settings: Settings) -> None:
    is_path = model.startswith(("/", "."))
    known = model in settings.models or (is_path and os.path.isdir(model))
    if known or (not settings.models and not is_path and _HUB_NAME.fullmatch(model)):
        return
    if is_path or not _HUB_NAME.fullmatch(model):
        raise LoadFailed(
            f"OSError: Invalid repository ID or local directory specified: '{model}'. Please verify the "
            "following requirements: 1. Provide a valid Hugging Face repository ID. 2. Specify a local directory "
            "that contains a recognized configuration file."
        )
    raise LoadFailed(
        f"OSError: {model} is not a local folder and is not a valid model identifier listed on "
        "'https://huggingface.co/models'"
    )


def _check_free_gpu_memory(options: Options, settings: Settings) -> None:
    total = settings.gpu_memory_bytes
    free, desired = total - settings.gpu_memory_used_bytes, total * options.gpu_memory_utilization
    if free < desired:
        raise LoadFailed(
            f"ValueError: Free memory on device cuda:0 ({gibibytes(free)}/{gibibytes(total)} GiB) on startup is "
            f"less than desired GPU memory utilization ({options.gpu_memory_utilization}, {gibibytes(desired)} "
            "GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
        )


def _check_weights(options: Options, settings: Settings) -> None:
    """Weights that do not fit the GPU end in PyTorch's out-of-memory error; each GPU holds its share of them."""
    share = settings.weights_bytes / options.tensor_parallel_size
    total = settings.gpu_memory_bytes
    if share > total:
        raise LoadFailed(
            f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {gibibytes(share)} GiB. GPU 0 has a "
            f"total capacity of {gibibytes(total)} GiB of which {gibibytes(total)} GiB is free.",
            "Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory "
            "for weights, increasing --tensor-parallel-size, or using --quantization.",
        )
    if share > total * options.gpu_memory_utilization:
        raise LoadFailed(_NO_CACHE_BLOCKS)


_NO_CACHE_BLOCKS = (
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
    "initializing the engine."
)


def _size_kv_cache(options: Options, settings: Settings) -> None:
    tokens = settings.kv_cache_tokens // BLOCK_TOKENS * BLOCK_TOKENS
    if not tokens:
        raise LoadFailed(_NO_CACHE_BLOCKS)
    room = settings.gpu_memory_bytes * options.gpu_memory_utilization
    room -= settings.weights_bytes / options.tensor_parallel_size
    ENGINE.info("Available KV cache memory: %s GiB", gibibytes(room))
    ENGINE.info("GPU KV cache size: %s tokens", f"{tokens:,}")
    if tokens < options.max_model_len:
        needed = room * options.max_model_len / tokens
        raise LoadFailed(
            f"ValueError: To serve at least one request with the model's max seq len ({options.max_model_len}), "
            f"{gibibytes(needed)} GiB KV cache is needed, which is larger than the available KV cache memory "
            f"({gibibytes(room)} GiB). Based on the available memory, the estimated maximum model length is "
            f"{tokens}. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing "
            "the engine."
        )
    concurrency = tokens / options.max_model_len
    ENGINE.info("Maximum concurrency for %s tokens per request: %.2fx", f"{options.max_model_len:,}", concurrency)


def log_load_failure(failure: LoadFailed) -> None:
    """Write what vLLM writes when its engine does not start."""
    for hint in failure.hints:
        ENGINE.error("%s", hint)
    ENGINE.error("EngineCore failed to start.")
    ENGINE.error("Traceback (most recent call last):")
    ENGINE.error("%s", failure.error)
