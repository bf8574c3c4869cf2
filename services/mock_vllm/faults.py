"""What can be broken in a running mock: one declarative value, replaced as a whole.

The server asks the current value at the moment it acts, so a change takes effect for requests already under way.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clients.errors import InputError

ENGINE_DEATHS = ("", "fatal", "cuda-oom", "worker")


@dataclass(frozen=True)
class Faults:
    """The faults that are on; the default is a healthy server.

    Attributes:
        latency_factor: how many times slower prefill and decoding are (> 0).
        gpu_throttle_factor: share of the GPU's clock that is left (0-1]; slows the engine and shows in nvidia-smi.
        error_ratio: share of completion requests that end with a 500 (0-1).
        cut_stream_ratio: share of streams whose connection is cut without `[DONE]` (0-1).
        cut_stream_after_tokens: tokens such a stream delivers first.
        hang: the engine makes no step, while `/health` stays 200.
        health_delay_seconds: `/health` answers this much later.
        engine_death: how the engine dies ("" lives); it stays dead whatever is set afterwards.
    """

    latency_factor: float = 1.0
    gpu_throttle_factor: float = 1.0
    error_ratio: float = 0.0
    cut_stream_ratio: float = 0.0
    cut_stream_after_tokens: int = 3
    hang: bool = False
    health_delay_seconds: float = 0.0
    engine_death: str = ""

    def __post_init__(self) -> None:
        self._require(self.latency_factor > 0, "latency_factor", "must be greater than 0")
        self._require(0 < self.gpu_throttle_factor <= 1, "gpu_throttle_factor", "must be in (0, 1]")
        self._require(0 <= self.error_ratio <= 1, "error_ratio", "must be in [0, 1]")
        self._require(0 <= self.cut_stream_ratio <= 1, "cut_stream_ratio", "must be in [0, 1]")
        self._require(self.cut_stream_after_tokens >= 0, "cut_stream_after_tokens", "must not be negative")
        self._require(self.health_delay_seconds >= 0, "health_delay_seconds", "must not be negative")
        self._require(
            self.engine_death in ENGINE_DEATHS, "engine_death", f"must be one of {', '.join(ENGINE_DEATHS[1:])}"
        )

    @property
    def slowdown(self) -> float:
        """How many times longer every engine step takes."""
        return self.latency_factor / self.gpu_throttle_factor

    @staticmethod
    def _require(condition: bool, field: str, problem: str) -> None:
        if not condition:
            raise InputError(problem, where=f"faults.{field}", remedy="see services/mock_vllm/faults.py")

    @classmethod
    def parse(cls, text: str | bytes) -> Faults:
        """Faults of a JSON object; fields that it leaves out are off.

        Raises:
            InputError: no JSON object, an unknown field, a wrong type or a value out of range.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InputError(f"not JSON: {error}", where="faults", remedy="send a JSON object") from error
        if not isinstance(document, dict):
            raise InputError("not a JSON object", where="faults", remedy="send a JSON object")
        return cls.from_mapping(document)

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> Faults:
        """Faults of a mapping of field names to values.

        Raises:
            InputError: as in `parse`.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in document.items():
            if name not in known:
                raise InputError("unknown fault", where=f"faults.{name}", remedy=f"known: {', '.join(known)}")
            cls._require(_fits(value, known[name].default), f"{name}", f"has the wrong type: {value!r}")
        return cls(**document)

    def as_mapping(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)


def _fits(value: object, default: object) -> bool:
    """Whether a JSON value may stand for a field with this default; an integer is also a float."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    return isinstance(value, type(default))


class FaultSwitch:
    """Holds the faults that are on and draws the lots that their ratios need.

    Args:
        faults: what is on from the start.
        seed: of the lots; the same seed and order of requests give the same victims.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self.current = faults
        self._listeners: list[Callable[[Faults], None]] = []
        self._random = random.Random(f"faults:{seed}")  # noqa: S311 - lots, not secrets

    def subscribe(self, listener: Callable[[Faults], None]) -> None:
        """Call the listener now and after each change."""
        self._listeners.append(listener)
        listener(self.current)

    def set(self, faults: Faults) -> None:
        """Replace the faults."""
        self.current = faults
        for listener in self._listeners:
            listener(faults)

    def request_fails(self) -> bool:
        """Whether the next request is to end with an error."""
        return self._random.random() < self.current.error_ratio

    def stream_is_cut(self) -> bool:
        """Whether the next stream is to be cut."""
        return self._random.random() < self.current.cut_stream_ratio
