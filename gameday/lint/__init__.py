"""Checks what a person wrote - features, experiments, the policy, runbook ids - without a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.errors import InputError
from gameday.catalogue import definitions
from gameday.causes import known_causes
from gameday.extensions import ROOT, feature_folders, make_local_activities_importable, step_modules
from gameday.gherkin import ReadFeature, read_feature
from gameday.lint.experiments import check_experiment_file, is_experiment
from gameday.lint.features import check_feature, experiments_of
from gameday.lint.policy import check_policy
from gameday.lint.problem import Problem, from_error, shown
from gameday.lint.tests import check_marks
from gameday.runbook_ids import known_ids, load_ids
from gameday.yaml_lines import read_yaml

__all__ = ["LintResult", "Problem", "lint"]
_EXPERIMENT_FILES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class LintResult:
    """What was looked at, and what is wrong with it."""

    checked: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Files:
    features: tuple[Path, ...] = ()
    experiments: tuple[Path, ...] = ()
    policies: tuple[Path, ...] = ()
    ids: tuple[Path, ...] = ()
    tests: tuple[Path, ...] = ()
    packages: tuple[Path, ...] = ()

    @property
    def count(self) -> int:
        return sum(map(len, (self.features, self.experiments, self.policies, self.ids)))


def lint(paths: Sequence[Path]) -> LintResult:
    """Check files and folders; the current folder without any.

    Raises InputError when a path is not there or cannot be judged, or when there is nothing to check.
    """
    make_local_activities_importable()
    files = _files(paths)
    if not files.count:
        raise InputError(
            "there is nothing to check: no feature, no experiment, no policy",
            where=", ".join(map(str, paths)) or str(Path.cwd()),
            remedy="give paths, or work in a folder with features/ and experiments/; `gameday new scenario` makes one",
        )
    problems = [*_hidden_packages(files), *_check_ids(files)]
    steps, causes = definitions(step_modules()), known_causes()
    try:
        ids = list(known_ids())
    except InputError:  # already among the problems where the list is checked; else nothing can be compared with it
        ids = []
    read, unreadable = _read(files.features)
    problems += unreadable
    for feature in read:
        problems += check_feature(feature, steps, ids, causes)
    used = _used_experiments(read)
    for path in files.experiments:
        problems += check_experiment_file(path, used)
    for path in files.policies:
        problems += check_policy(path)
    for path in files.tests:
        problems += check_marks(path, ids)
    return LintResult(files.count, tuple(sorted(dict.fromkeys(problems))))


def _read(paths: Sequence[Path]) -> tuple[list[ReadFeature], list[Problem]]:
    read: list[ReadFeature] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            read.append(read_feature(path))
        except InputError as error:
            problems.append(from_error(error, path))
    return read, problems


def _used_experiments(checked: Sequence[ReadFeature]) -> set[str]:
    """Experiments that some feature names: those checked, those of the current folder, ours, those of packages."""
    folders = [Path.cwd() / "features", *feature_folders()]
    others, _ = _read([path for folder in folders for path in sorted(folder.glob("**/*.feature"))])
    named = {name for feature in (*checked, *others) for name in experiments_of(feature)}
    return named | {str(Path(name).resolve()) for name in named} | {Path(name).stem for name in named if "/" in name}


def _check_ids(files: _Files) -> list[Problem]:
    found = []
    for path in files.ids:
        try:
            load_ids(path)
        except InputError as error:
            found.append(from_error(error, path))
    return found


def _hidden_packages(files: _Files) -> list[Problem]:
    what = "it makes this folder a package that hides ours of the same name"
    return [Problem(shown(path), 1, what, "remove it; the folder needs none") for path in files.packages]


def _files(paths: Sequence[Path]) -> _Files:
    parts = [_of_path(path) for path in paths] if paths else [_of_folder(Path.cwd())]
    return _Files(
        *(
            tuple(dict.fromkeys(path for part in parts for path in getattr(part, name)))
            for name in ("features", "experiments", "policies", "ids", "tests", "packages")
        )
    )


def _of_path(path: Path) -> _Files:
    if path.is_dir():
        whole = _of_folder(path)
        if whole.count:
            return whole
        files = [one for one in sorted(path.glob("**/*")) if one.is_file()]
        return _Files(
            features=tuple(one for one in files if one.suffix == ".feature"),
            experiments=tuple(one for one in files if one.suffix in _EXPERIMENT_FILES and _holds_experiment(one)),
        )
    if not path.is_file():
        raise InputError(
            "there is no such file or folder", where=str(path), remedy="give features, experiments, folders"
        )
    if path.suffix == ".feature":
        return _Files(features=(path,))
    if path.name == "policy.yaml":
        return _Files(policies=(path,))
    if path.name == "ids.yaml":
        return _Files(ids=(path,))
    if path.suffix in _EXPERIMENT_FILES:
        return _Files(experiments=(path,))
    raise InputError(
        "this is no feature, experiment, policy or list of ids", where=str(path), remedy="give *.feature or *.yaml"
    )


def _of_folder(folder: Path) -> _Files:
    """What lies at its usual place in a folder of work."""
    hides = folder.resolve() == Path.cwd() != ROOT
    candidates = (folder / "policy.yaml", folder / "remediation" / "policy.yaml")
    experiments = folder if folder.name == "experiments" else folder / "experiments"
    packages = [folder / name / "__init__.py" for name in ("experiments", "steps")]
    return _Files(
        features=(*sorted(folder.glob("*.feature")), *sorted((folder / "features").glob("**/*.feature"))),
        experiments=tuple(p for p in sorted(experiments.glob("*")) if p.suffix in _EXPERIMENT_FILES),
        policies=tuple(path for path in candidates if path.is_file()),
        ids=tuple(path for path in (folder / "docs" / "runbooks" / "ids.yaml",) if path.is_file()),
        tests=tuple(sorted((folder / "tests").glob("**/test_*.py"))),
        packages=tuple(path for path in packages if hides and path.is_file()),
    )


def _holds_experiment(path: Path) -> bool:
    try:
        return is_experiment(read_yaml(path).data)
    except InputError:
        return path.parent.name == "experiments"
