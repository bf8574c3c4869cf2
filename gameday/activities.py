"""The functions of ours that an experiment can call: what breaks, what proves that it broke, what undoes it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from gameday.extensions import put_ours_on_the_path

_HELPERS = ("cluster",)
"""Modules in experiments/ that activities are built on, and that hold none."""


@dataclass(frozen=True, slots=True)
class KnownActivity:
    """A function that an experiment can name.

    Attributes:
        arguments: as in its definition.
        returns: the type of its result, which a tolerance is compared with.
        meaning: the first paragraph of its docstring.
    """

    module: str
    func: str
    arguments: tuple[str, ...]
    returns: str
    meaning: str


def activities() -> tuple[KnownActivity, ...]:
    """Every public function of the modules in experiments/, by module and place in it."""
    put_ours_on_the_path()
    package = importlib.import_module("experiments")
    names = [one.name for one in pkgutil.iter_modules(package.__path__) if one.name not in _HELPERS]
    return tuple(known for name in sorted(names) for known in _of_module(f"experiments.{name}"))


def as_text(known: Sequence[KnownActivity]) -> str:
    """The list for a terminal."""
    lines = []
    for module, group in groupby(known, lambda one: one.module):
        lines += [module, ""]
        for one in group:
            lines += [f"  {_call(one)}", f"      {one.meaning}", ""]
    return "\n".join(lines).rstrip()


def as_json(known: Sequence[KnownActivity]) -> str:
    """The list for programs: objects with the fields of `KnownActivity`."""
    return json.dumps([asdict(one) for one in known], indent=2)


def as_markdown(known: Sequence[KnownActivity]) -> str:
    """The list as a page of the documentation."""
    lines = [
        "# Activities",
        "",
        "The functions in `experiments/` that an experiment can name in `provider.module` and `provider.func`. Any",
        "other importable function can be named as well: those of Chaos Toolkit's extensions (`chaosk8s.pod.actions`,",
        "...), and those of a module of your own in the current folder. This page is generated (`make docs`).",
    ]
    for module, group in groupby(known, lambda one: one.module):
        lines += ["", f"## {module}"]
        for one in group:
            lines += ["", f"`{_call(one)}`", "", one.meaning]
    return "\n".join(lines) + "\n"


def _of_module(name: str) -> list[KnownActivity]:
    module = importlib.import_module(name)
    functions = [
        value
        for label, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == name and not label.startswith("_")
    ]
    return [_known(name, function) for function in sorted(functions, key=lambda one: one.__code__.co_firstlineno)]


def _known(module: str, function: Callable[..., Any]) -> KnownActivity:
    signature = inspect.signature(function)
    paragraph = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
    returns = "" if signature.return_annotation is signature.empty else str(signature.return_annotation)
    return KnownActivity(
        module=module,
        func=function.__name__,
        arguments=tuple(map(_argument, signature.parameters.values())),
        returns=returns,
        meaning=paragraph or function.__name__.replace("_", " ").capitalize() + ".",
    )


def _argument(parameter: inspect.Parameter) -> str:
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{parameter.name}: {parameter.annotation}{default}"


def _call(one: KnownActivity) -> str:
    return f"{one.func}({', '.join(one.arguments)}) -> {one.returns}"
