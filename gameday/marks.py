"""Which runbook ids tests claim, read from their source: ``@pytest.mark.runbook("matrix-boundaries")``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.errors import InputError


@dataclass(frozen=True, slots=True)
class Mark:
    """A test (or, where ``test`` is empty, all tests of a module) that proves a demand of the runbook."""

    id: str
    test: str
    line: int


def runbook_marks(path: Path) -> list[Mark]:
    """The marks of a test module. Raises InputError when it is no Python."""
    try:
        text = path.read_text()
        tree = ast.parse(text) if "mark.runbook" in text else ast.Module([], [])
    except (SyntaxError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InputError("this is no Python", where=f"{path}:{line}") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return [mark for node in tree.body for mark in _of(node, "")]


def _of(node: ast.AST, owner: str) -> Iterator[Mark]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        name = f"{owner}::{node.name}" if owner else node.name
        for decorator in node.decorator_list:
            yield from _calls(decorator, name)
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                yield from _of(child, name)
    elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
        yield from _calls(node.value, owner)


def _calls(node: ast.AST, test: str) -> Iterator[Mark]:
    """Every ``pytest.mark.runbook("id", ...)`` below a node, which may be a list of marks."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "runbook":
            for argument in call.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Mark(argument.value, test, argument.lineno)
