"""When requests should start and what they ask for: a pure function of the profile and its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from load.profile import LoadProfile

RequestKind = Literal["completion", "chat"]

_WORDS = [
    "probe",
    "pod",
    "router",
    "cache",
    "replica",
    "token",
    "prompt",
    "batch",
    "kernel",
    "tensor",
    "layer",
    "queue",
    "shard",
    "node",
    "budget",
]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to be sent.

    Attributes:
        number: position in the schedule, from 0.
        offset_seconds: intended start, from the start of the load.
    """

    number: int
    offset_seconds: float
    kind: RequestKind
    stream: bool
    prompt: str
    max_tokens: int


def arrivals(profile: LoadProfile) -> Iterator[Arrival]:
    """The endless schedule of a profile; the same seed gives the same schedule."""
    rng = random.Random(profile.seed)  # noqa: S311  (a reproducible schedule, not a secret)
    offset = 0.0
    number = 0
    while True:
        gap = 1 / profile.rate_per_second
        offset += rng.expovariate(profile.rate_per_second) if profile.arrivals == "poisson" else gap
        high = max(profile.max_tokens_low, profile.max_tokens_high)
        yield Arrival(
            number=number,
            offset_seconds=offset,
            kind="chat" if rng.random() < profile.chat_share else "completion",
            stream=rng.random() < profile.stream_share,
            prompt=" ".join(rng.choices(_WORDS, k=rng.randint(4, 24))),
            max_tokens=rng.randint(profile.max_tokens_low, high),
        )
        number += 1
