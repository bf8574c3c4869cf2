"""The command line of the real image: `vllm serve MODEL ...`, `-m vllm.entrypoints.openai.api_server ...`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.mock_vllm.flags import INERT_SWITCHES, INERT_VALUE_FLAGS, SHORT_NAMES
from services.mock_vllm.settings import Settings

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
DEFAULT_MAX_MODEL_LEN = 4096
BUCKET_FAMILIES = (
    "request_latency",
    "time_to_first_token",
    "inter_token_latency",
    "iteration_tokens",
    "request_params_n",
    "request_num_preemptions",
    "request_tokens",
)


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Attributes:
        model: name or path of the model.
        served_model_names: names that requests may use; the first is the one that answers and metrics carry.
        host, port: where the API listens.
        max_model_len: tokens of prompt and answer together.
        max_num_seqs: sequences that run at the same time.
        gpu_memory_utilization: share of the GPU that the server may take (0-1).
        tensor_parallel_size: GPUs that share the weights.
        shutdown_timeout_seconds: how long SIGTERM lets requests finish; 0 aborts them at once.
        api_keys: keys of which `/v1` wants one; empty means that it is open.
        max_num_queued_reqs, max_num_queued_tokens: limits of the waiting queue; None is no limit.
        track_server_load: count requests for `/load`.
        access_log, log_stats: write the access and the statistics lines.
        histogram_buckets: boundaries by bucket family, in place of the defaults.
    """

    model: str
    served_model_names: tuple[str, ...]
    host: str = "0.0.0.0"
    port: int = 8000
    max_model_len: int = DEFAULT_MAX_MODEL_LEN
    max_num_seqs: int = 256
    gpu_memory_utilization: float = 0.92
    tensor_parallel_size: int = 1
    shutdown_timeout_seconds: float = 0.0
    api_keys: tuple[str, ...] = ()
    max_num_queued_reqs: int | None = None
    max_num_queued_tokens: int | None = None
    track_server_load: bool = False
    access_log: bool = True
    log_stats: bool = True
    histogram_buckets: Mapping[str, tuple[float, ...]] | None = None


def parse_command_line(arguments: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> Options:
    """Options of the words after the program's name: `serve MODEL ...` of `vllm`, or `--model=...` of the module.

    Underscores in flags are dashes, as vLLM reads them. A `--config` file gives defaults that words override.

    Raises:
        SystemExit: with code 2 and a usage line on stderr where argparse would; with code 0 after `--help`.
    """
    words = [_normalised(word) for word in arguments]
    serve = words[:1] == ["serve"]
    parser = _parser("vllm serve" if serve else "api_server.py", settings)
    if serve:
        parser.add_argument("model_tag", nargs="?")
    words = words[1:] if serve else words
    namespace = parser.parse_args(words)
    if namespace.config:
        _use_config(parser, namespace)
        namespace = parser.parse_args(words)
    model = getattr(namespace, "model_tag", None) or namespace.model
    return _options(model, namespace, environ)


def _options(model: str, namespace: argparse.Namespace, environ: Mapping[str, str]) -> Options:
    keys = namespace.api_key or [key for key in (environ.get("VLLM_API_KEY"),) if key]
    return Options(
        model=model,
        served_model_names=tuple(namespace.served_model_name or [model]),
        host=namespace.host or "0.0.0.0",
        port=namespace.port,
        max_model_len=namespace.max_model_len if namespace.max_model_len > 0 else DEFAULT_MAX_MODEL_LEN,
        max_num_seqs=namespace.max_num_seqs,
        gpu_memory_utilization=namespace.gpu_memory_utilization,
        tensor_parallel_size=namespace.tensor_parallel_size,
        shutdown_timeout_seconds=namespace.shutdown_timeout,
        api_keys=tuple(keys),
        max_num_queued_reqs=namespace.max_num_queued_reqs,
        max_num_queued_tokens=namespace.max_num_queued_tokens,
        track_server_load=namespace.enable_server_load_tracking,
        access_log=not namespace.disable_uvicorn_access_log,
        log_stats=not namespace.disable_log_stats,
        histogram_buckets=namespace.custom_histogram_buckets,
    )


def _use_config(parser: argparse.ArgumentParser, namespace: argparse.Namespace) -> None:
    """Make the settings of a YAML file the parser's defaults."""
    import yaml  # a server without a config file does without its memory

    try:
        with open(namespace.config, encoding="utf-8") as file:
            document = yaml.safe_load(file) or {}
    except (OSError, yaml.YAMLError) as error:
        parser.error(f"argument --config: {namespace.config}: {error}")
    if not isinstance(document, dict):
        parser.error(f"argument --config: {namespace.config}: not a mapping of flags to values")
    for key, value in document.items():
        name = str(key).replace("-", "_")
        if name not in vars(namespace):
            parser.error(f"argument --config: {namespace.config}: unknown flag {key!r}")
        parser.set_defaults(**{name: value if isinstance(value, (bool, list)) else str(value)})


def _normalised(word: str) -> str:
    """`--max_model_len=8` as `--max-model-len=8`; values keep their underscores."""
    if not word.startswith("--"):
        return word
    flag, separator, value = word.partition("=")
    return flag.replace("_", "-") + separator + value


def _parser(program: str, settings: Settings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False, description="vLLM OpenAI-compatible server")
    parser.add_argument("-v", "--version", action="version", version=settings.version)
    _add_server_flags(parser)
    _add_engine_flags(parser, settings)
    for name in INERT_VALUE_FLAGS:
        parser.add_argument(*SHORT_NAMES.get(name, ()), f"--{name}", help=argparse.SUPPRESS)
    for name in INERT_SWITCHES:
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=argparse.SUPPRESS)
    return parser


def _add_server_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--api-key", nargs="+")
    parser.add_argument("--shutdown-timeout", type=_number(0.0), default=0.0, metavar="SECONDS")
    parser.add_argument("--enable-server-load-tracking", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--disable-uvicorn-access-log", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--disable-log-stats", action=argparse.BooleanOptionalAction, default=False)


def _add_engine_flags(parser: argparse.ArgumentParser, settings: Settings) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--max-model-len", type=_human_count, default=DEFAULT_MAX_MODEL_LEN)
    parser.add_argument("--max-num-seqs", type=_at_least(1), default=settings.max_num_seqs)
    parser.add_argument("--gpu-memory-utilization", type=_number(0.0, 1.0), default=0.92)
    parser.add_argument("-tp", "--tensor-parallel-size", type=_at_least(1), default=1)
    parser.add_argument("--max-num-queued-reqs", type=_at_least(0))
    parser.add_argument("--max-num-queued-tokens", type=_at_least(0))
    parser.add_argument("--custom-histogram-buckets", type=_buckets, metavar="JSON")


def _at_least(minimum: int) -> Callable[[str], int]:
    """A parser of integers with a lower bound."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, is {text}")
        return value

    return integer


def _number(minimum: float, maximum: float = float("inf")) -> Callable[[str], float]:
    """A parser of numbers within bounds."""

    def number(text: str) -> float:
        value = float(text)
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"must be between {minimum} and {maximum}, is {text}")
        return value

    return number


def _human_count(text: str) -> int:
    """A count of tokens as vLLM writes them: `4096`, `1k` (1000), `1K` (1024), `auto` (-1)."""
    if text in ("auto", "-1"):
        return -1
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid number of tokens: {text!r}")
    factor = {"": 1, "k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20}[match[2]]
    return int(float(match[1]) * factor)


def _buckets(text: str) -> dict[str, tuple[float, ...]]:
    """Boundaries by bucket family, from a JSON mapping."""
    try:
        families = {str(name): tuple(float(bound) for bound in bounds) for name, bounds in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"not a JSON mapping of bucket families to numbers: {error}") from error
    for name, bounds in families.items():
        if name not in BUCKET_FAMILIES:
            raise argparse.ArgumentTypeError(f"unknown bucket family {name!r}; known: {', '.join(BUCKET_FAMILIES)}")
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise argparse.ArgumentTypeError(f"the boundaries of {name!r} must be strictly increasing")
    return families
