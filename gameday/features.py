"""Which features a run is asked for, and whether they can be run at all; looked at before anything is started."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path

from pytest_bdd.exceptions import FeatureError
from pytest_bdd.parser import FeatureParser, Step
from pytest_bdd.steps import step_function_context_registry

from clients.errors import InputError

FEATURES = Path(__file__).resolve().parent.parent / "features"
STEPS = FEATURES.parent / "steps"
STEP_MODULES = tuple(
    f"steps.{path.stem}" for path in sorted(STEPS.glob("[!_]*.py")) if not path.stem.startswith("test_")
)
_EXPERIMENT = re.compile(r'the experiment "([^"]+)"')


def find_features(arguments: Sequence[str]) -> tuple[Path, ...]:
    """Feature files by path, by folder or by name; all built-in ones without arguments. Raises InputError."""
    if not arguments:
        return tuple(sorted(FEATURES.glob("*.feature")))
    return tuple(path for argument in arguments for path in _resolve(argument))


def _resolve(argument: str) -> list[Path]:
    given = Path(argument)
    if given.is_dir():
        found = sorted(given.glob("**/*.feature"))
        if not found:
            raise InputError(
                "there is no feature in this folder", where=argument, remedy="give a folder with *.feature files"
            )
        return found
    for path in (given, FEATURES / argument, FEATURES / f"{argument}.feature"):
        if path.is_file():
            return [path]
    known = ", ".join(path.stem for path in sorted(FEATURES.glob("*.feature")))
    raise InputError("there is no such feature", where=argument, remedy=f"give a path, or one of: {known}")


def check_features(paths: Sequence[Path]) -> list[str]:
    """Parse every feature; returns the experiments that they name. Raises InputError that names file and line."""
    experiments: list[str] = []
    for path in paths:
        try:
            feature = FeatureParser(str(path.parent.resolve()), path.name).parse()
        except FeatureError as error:
            raise InputError(f"the feature cannot be read: {error.args[0]}", where=f"{path}:{error.line}") from error
        except OSError as error:
            raise InputError(f"the feature cannot be read: {error.strerror}", where=str(path)) from error
        if not feature.scenarios:
            raise InputError("the feature has no scenario", where=str(path), remedy="write a Scenario")
        for scenario in feature.scenarios.values():
            if not scenario.steps:
                raise InputError(f"scenario {scenario.name!r} has no step", where=f"{path}:{scenario.line_number}")
            for step in scenario.steps:
                _require_definition(path, step)
                experiments.extend(_EXPERIMENT.findall(step.name))
    return list(dict.fromkeys(experiments))


def _require_definition(path: Path, step: Step) -> None:
    """Raises InputError when no step definition matches, before a cluster is started for nothing."""
    if "<" in step.name:  # a placeholder of a scenario outline: known only once the examples are filled in
        return
    for module in STEP_MODULES:
        importlib.import_module(module)
    for known in step_function_context_registry.values():
        if known.type in (None, step.type) and known.parser.is_matching(step.name):
            return
    raise InputError(
        f"no step definition matches: {step.keyword} {step.name}",
        where=f"{path}:{step.line_number}",
        remedy="see steps/ for the steps that there are",
    )
