"""The causes that the remediation's rules can find, by family: what a feature can demand to be found."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from types import ModuleType

from remediation.rules import families


def known_causes() -> dict[str, str]:
    """Every cause and its family: ours, then those of packages, in order of their names.

    A cause is what a family has a remedy for, and every constant of its module that is its own name in small letters
    (``OOM_KILLED = "oom_killed"``): some causes are only for people to act on. Raises InputError when a family of a
    package cannot be loaded.
    """
    found: dict[str, str] = {}
    for family in families():
        for cause in sorted({*_constants(sys.modules[family.find.__module__]), *family.remedies}):
            found.setdefault(cause, family.name)
    return found


def _constants(module: ModuleType) -> set[str]:
    """The constants that a module itself defines, not those that it imports."""
    defined = {
        target.id
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {value for name, value in vars(module).items() if name in defined and name.lower() == value}


def as_text(causes: dict[str, str]) -> str:
    """The causes for a terminal."""
    lines = ["Causes that the rules know", ""]
    return "\n".join([*lines, *(f"  {family:<12}{', '.join(names)}" for family, names in _by_family(causes))])


def as_markdown(causes: dict[str, str]) -> str:
    """The causes as a section of a page."""
    lines = ["## Causes", "", "What the rules of the remediation can find, by family.", ""]
    lines += ["| family | causes |", "|---|---|"]
    rows = [f"| {family} | {', '.join(f'`{name}`' for name in names)} |" for family, names in _by_family(causes)]
    return "\n".join([*lines, *rows]) + "\n"


def _by_family(causes: dict[str, str]) -> Sequence[tuple[str, list[str]]]:
    families_found = dict.fromkeys(causes.values())
    return [(family, [cause for cause, of in causes.items() if of == family]) for family in families_found]
