"""One record per request: what the client saw, and when, on the machine's monotonic clock."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from clients.errors import InputError

Outcome = Literal[
    "ok", "refused", "client_error", "rate_limited", "server_error", "connect_error", "timeout", "stream_cut"
]

FAILURES: frozenset[str] = frozenset({"rate_limited", "server_error", "connect_error", "timeout", "stream_cut"})
"""Outcomes that count against the error budget. A refusal of a disabled model and a client's own 4xx do not."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A request as its client saw it.

    Times are seconds of the monotonic clock. Latency counts from the intended start, so that a generator that falls
    behind cannot hide a slow server (coordinated omission).

    Attributes:
        status: HTTP status, 0 when there was no answer.
        outcome: a stream that is cut after a 200 is ``stream_cut``.
        served_by: the pod that answered, when it said so.
    """

    number: int
    kind: str
    stream: bool
    intended_seconds: float
    started_seconds: float
    first_token_seconds: float | None
    ended_seconds: float
    status: int
    outcome: Outcome
    tokens: int = 0
    served_by: str = ""
    error: str = ""

    @property
    def latency_seconds(self) -> float:
        """End-to-end latency from the intended start."""
        return self.ended_seconds - self.intended_seconds

    @property
    def time_to_first_token_seconds(self) -> float | None:
        """Time to first token from the intended start; None when none came."""
        return None if self.first_token_seconds is None else self.first_token_seconds - self.intended_seconds

    @property
    def lag_seconds(self) -> float:
        """How much later than intended the generator started the request."""
        return self.started_seconds - self.intended_seconds

    @property
    def failed(self) -> bool:
        """Whether the request counts against the error budget."""
        return self.outcome in FAILURES


class SampleWriter:
    """Appends samples to a file, a JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, sample: Sample) -> None:
        """Append one sample; it reaches the file at the next `flush`."""
        self._stream.write(json.dumps(dataclasses.asdict(sample), separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Make what was written visible to readers."""
        self._stream.flush()


def parse_samples(lines: Iterable[str]) -> Iterator[Sample]:
    """Samples from lines of JSON. Raises ValueError or TypeError on a line that is no sample."""
    for line in lines:
        yield Sample(**json.loads(line))


def read_samples(path: Path) -> list[Sample]:
    """All samples of a run, ordered by their intended start. Raises InputError."""
    try:
        with path.open() as stream:
            return sorted(parse_samples(stream), key=lambda sample: sample.intended_seconds)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"cannot read samples: {error}", where=str(path)) from error


class SampleTail:
    """Follows a sample file that is being written; each `read` returns the new complete samples."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Sample]:
        """Samples that were completed since the last call; empty when the file is not there yet."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        return list(parse_samples(complete.decode().splitlines()))
