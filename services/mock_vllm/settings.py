"""The physics of the mock: what a real server has from its GPU and its model, given by `MOCK_VLLM_*` variables."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from clients.errors import InputError
from services.mock_vllm.faults import Faults
from services.mock_vllm.quantity import parse_bytes

PREFIX = "MOCK_VLLM_"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """Physics and identity of one mock server.

    Attributes:
        weights_bytes: memory that the model takes; it is really allocated.
        load_seconds: how long the allocation takes.
        time_to_first_token_seconds: fixed part of the time to the first token.
        tokens_per_second: decoding rate of one sequence.
        prefill_tokens_per_second: prompt tokens the engine takes in, all sequences together.
        kv_cache_tokens: capacity of the KV cache.
        max_num_seqs: default of `--max-num-seqs`.
        answer_tokens: mean length of an answer that ends by itself.
        gpu_memory_bytes, gpu_memory_used_bytes: size of the mock GPU, and what a neighbour holds of it.
        models: names and paths that can be loaded; empty means every Hugging Face style name.
        seed: of texts and of the choices that faults make.
        version: what `/version` says.
        ready_endpoint: serve `/ready`, which real vLLM has not.
        admin_port, admin_address, admin_token: of the fault port; port 0 is none.
        served_by: what responses name in `X-Served-By`.
        keep_alive_on_engine_death: vLLM's variable of that name.
        heartbeat_seconds: period of the statistics log line.
        watchdog_seconds: period in which the server notices that its engine is dead.
        faults: what is broken from the start.
    """

    weights_bytes: int = 0
    load_seconds: float = 0.0
    time_to_first_token_seconds: float = 0.03
    tokens_per_second: float = 100.0
    prefill_tokens_per_second: float = 20_000.0
    kv_cache_tokens: int = 65_536
    max_num_seqs: int = 256
    answer_tokens: int = 48
    gpu_memory_bytes: int = 24 * 2**30
    gpu_memory_used_bytes: int = 0
    models: tuple[str, ...] = ()
    seed: int = 0
    version: str = "0.33.0"
    ready_endpoint: bool = False
    admin_port: int = 0
    admin_address: str = "127.0.0.1"
    admin_token: str = ""
    served_by: str = "localhost"
    keep_alive_on_engine_death: bool = False
    heartbeat_seconds: float = 10.0
    watchdog_seconds: float = 5.0
    faults: Faults = field(default_factory=Faults)


class _Variables:
    """Reads typed values from an environment and names the variable that does not parse."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise InputError(str(error), where=name, remedy="correct or unset the variable") from error

    def own(self, name: str, parse: Callable[[str], _T], default: _T) -> _T:
        return self.read(PREFIX + name, parse, default)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables; unset or empty ones keep their defaults.

    Raises:
        InputError: a variable has a value that does not parse or makes no sense.
    """
    read, default = _Variables(environ).own, _platform(environ)
    return dataclasses.replace(
        default,
        weights_bytes=read("WEIGHTS", parse_bytes, default.weights_bytes),
        load_seconds=read("LOAD_SECONDS", _not_negative, default.load_seconds),
        time_to_first_token_seconds=read(
            "TIME_TO_FIRST_TOKEN_SECONDS", _not_negative, default.time_to_first_token_seconds
        ),
        tokens_per_second=read("TOKENS_PER_SECOND", _positive, default.tokens_per_second),
        prefill_tokens_per_second=read("PREFILL_TOKENS_PER_SECOND", _positive, default.prefill_tokens_per_second),
        kv_cache_tokens=read("KV_CACHE_TOKENS", _count, default.kv_cache_tokens),
        max_num_seqs=read("MAX_NUM_SEQS", _positive_count, default.max_num_seqs),
        answer_tokens=read("ANSWER_TOKENS", _positive_count, default.answer_tokens),
        gpu_memory_bytes=read("GPU_MEMORY", parse_bytes, default.gpu_memory_bytes),
        gpu_memory_used_bytes=read("GPU_MEMORY_USED", parse_bytes, default.gpu_memory_used_bytes),
        models=read("MODELS", _names, default.models),
        seed=read("SEED", int, default.seed),
        version=read("VERSION", str, default.version),
        watchdog_seconds=read("WATCHDOG_SECONDS", _positive, default.watchdog_seconds),
        ready_endpoint=read("READY_ENDPOINT", parse_bool, default.ready_endpoint),
        admin_port=read("ADMIN_PORT", _port, default.admin_port),
        admin_token=read("ADMIN_TOKEN", str, default.admin_token),
        faults=read("FAULTS", Faults.parse, default.faults),
    )


def _platform(environ: Mapping[str, str]) -> Settings:
    """Default settings with what the pod and vLLM's own variables say."""
    read = _Variables(environ).read
    return Settings(
        admin_address=environ.get("POD_IP") or "127.0.0.1",
        served_by=environ.get("POD_NAME") or environ.get("HOSTNAME") or socket.gethostname(),
        keep_alive_on_engine_death=read("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH", parse_bool, False),
        heartbeat_seconds=read("VLLM_LOG_STATS_INTERVAL", _positive, 10.0),
    )


def parse_bool(text: str) -> bool:
    """True or false of `true`, `1`, `yes`, `on` and their opposites, in any case.

    Raises:
        ValueError: the text is none of them.
    """
    known = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither true nor false")
    return known[text.lower()]


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{text!r} must be a number that is not negative")
    return value


def _positive(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise ValueError(f"{text!r} must be greater than 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(f"{text!r} must not be negative")
    return value


def _positive_count(text: str) -> int:
    value = _count(text)
    if value == 0:
        raise ValueError(f"{text!r} must be greater than 0")
    return value


def _port(text: str) -> int:
    value = _count(text)
    if value > 65_535:
        raise ValueError(f"{text!r} is not a port")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
