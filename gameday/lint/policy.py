"""Checks of a policy file: what the remediation itself would say when it reads it."""

from __future__ import annotations

from pathlib import Path

from clients.errors import InputError
from gameday.lint.problem import Problem, from_error, shown
from gameday.yaml_lines import read_yaml
from remediation.policy import Policy


def check_policy(path: Path) -> list[Problem]:
    """The problem of a policy, at the line of the key that it concerns."""
    try:
        file = read_yaml(path)
    except InputError as error:
        return [from_error(error, path)]
    if file.repeated:
        return [Problem(shown(path), line, f"{key!r} stands here twice", "remove one") for key, line in file.repeated]
    try:
        Policy.load(path)
    except InputError as error:
        key = error.where.removeprefix(str(path)).lstrip(": ")
        place = [int(part) if part.isdigit() else part for part in key.split(".")]
        return [Problem(shown(path), file.line(*place), f"{key}: {error.problem}".lstrip(": "), error.remedy)]
    return []
