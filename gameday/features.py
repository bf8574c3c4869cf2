"""Which features a run is asked for, and whether they can be run at all; looked at before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clients.errors import InputError
from gameday.catalogue import definitions
from gameday.extensions import ROOT, feature_folders, step_modules
from gameday.gherkin import read_feature
from gameday.lint.features import experiments_of, form_problems, step_problems

FEATURES = ROOT / "features"


def find_features(arguments: Sequence[str]) -> tuple[Path, ...]:
    """Feature files by path, by folder or by name; ours and those of packages without arguments. Raises InputError."""
    if not arguments:
        return tuple(path for folder in feature_folders() for path in sorted(folder.glob("*.feature")))
    return tuple(path for argument in arguments for path in _resolve(argument))


def local_features() -> tuple[Path, ...]:
    """The features in ``features/`` of the current folder."""
    return tuple(sorted((Path.cwd() / "features").glob("*.feature")))


def _resolve(argument: str) -> list[Path]:
    given = Path(argument)
    if given.is_dir():
        found = sorted(given.glob("**/*.feature"))
        if not found:
            raise InputError(
                "there is no feature in this folder", where=argument, remedy="give a folder with *.feature files"
            )
        return found
    folders = (Path("features"), *feature_folders())
    named = [folder / f"{argument}{suffix}" for folder in folders for suffix in ("", ".feature")]
    for path in (given, *named):
        if path.is_file():
            return [path]
    known = ", ".join(dict.fromkeys(path.stem for folder in folders for path in sorted(folder.glob("*.feature"))))
    raise InputError("there is no such feature", where=argument, remedy=f"give a path, or one of: {known}")


def load_steps(paths: Sequence[Path]) -> tuple[str, ...]:
    """Import the step definitions that features can use; returns the names of the modules.

    Those in ``steps/`` of the current folder are taken only where a feature is neither ours nor of a package: that
    folder may belong to something else. Raises InputError.
    """
    folders = feature_folders()
    return step_modules(local=any(path.resolve().parent not in folders for path in paths))


def check_features(paths: Sequence[Path]) -> list[str]:
    """Read every feature; returns the experiments that they name. Raises InputError that names file and line."""
    known = definitions(load_steps(paths))
    experiments: list[str] = []
    for path in paths:
        feature = read_feature(path)
        for problem in (*form_problems(feature), *step_problems(feature, known)):
            raise InputError(problem.what, where=f"{path}:{problem.line}", remedy=problem.suggestion)
        experiments.extend(experiments_of(feature))
    return list(dict.fromkeys(experiments))
