"""The error hierarchy of the project, drawn in one place.

    GamedayError              anything that is ours to explain; the CLI prints it without a traceback
    |-- InputError            bad input from a person or a file            -> exit code 2
    |-- EnvironmentUnusable   a cluster, port or program cannot be had     -> exit code 2
    |-- OperationFailed       a call that was understood did not succeed
    |   |-- DeadlineExceeded  ... because its time ran out
    |   `-- Conflict          ... because somebody else changed the object first

Every error says what is wrong, where (file, key, object), and what to do about it.
"""

from __future__ import annotations


class GamedayError(Exception):
    """Base of all errors that the project raises on purpose.

    Args:
        problem: what is wrong, one sentence without a trailing full stop.
        where: the file, key, setting or object it was found in.
        remedy: what the reader should do now.
    """

    def __init__(self, problem: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{text} ({self.remedy})" if self.remedy else text


class InputError(GamedayError):
    """A person or a file gave us something we cannot use."""


class EnvironmentUnusable(GamedayError):
    """The machine or the cluster lacks something that the run needs."""


class OperationFailed(GamedayError):
    """A request was valid, and the other side did not carry it out."""


class DeadlineExceeded(OperationFailed):
    """An awaited condition did not come true before its deadline."""


class Conflict(OperationFailed):
    """The object is there already, or was changed by somebody else in the meantime (HTTP 409)."""
