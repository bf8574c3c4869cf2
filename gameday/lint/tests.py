"""Checks of the marks by which tests claim runbook ids."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from clients.errors import InputError
from gameday.lint.problem import Problem, did_you_mean, from_error, shown
from gameday.marks import runbook_marks


def check_marks(path: Path, ids: Collection[str]) -> list[Problem]:
    """Marks of a test module that name no id of the runbook."""
    try:
        marks = runbook_marks(path)
    except InputError as error:
        return [from_error(error, path)]
    otherwise = "the ids are in docs/runbooks/ids.yaml"
    return [
        Problem(
            shown(path),
            mark.line,
            f"the mark {mark.id!r} names no id of the runbook",
            did_you_mean(mark.id, ids, otherwise=otherwise),
        )
        for mark in marks
        if mark.id not in ids
    ]
