"""Where steps, features and experiments come from: this project, installed packages, and the folder one works in.

A package offers its own by entry point; the folder one works in by having ``steps/``, ``features/`` and
``experiments/``. In ``pyproject.toml`` of a package::

    [project.entry-points."gameday.steps"]
    acme = "acme_chaos.steps"            # a module with step definitions, or a package of such modules
    [project.entry-points."gameday.features"]
    acme = "acme_chaos.features"         # a package whose folder holds *.feature files
    [project.entry-points."gameday.experiments"]
    acme = "acme_chaos.experiments"      # a package whose folder holds the experiments' files

Rules of the remediation have a group of their own (``gameday.remediation_rules``, see ``remediation.rules``). The
Python functions that experiments call need none: they are named by their module.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from clients.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
STEPS_GROUP = "gameday.steps"
FEATURES_GROUP = "gameday.features"
EXPERIMENTS_GROUP = "gameday.experiments"
_LOCAL = "gameday_local_steps_"


def feature_folders() -> tuple[Path, ...]:
    """Folders whose features a run without arguments plays: ours, then those of packages. Raises InputError."""
    return _folders(FEATURES_GROUP, ROOT / "features")


def experiment_folders() -> tuple[Path, ...]:
    """Folders in which experiments are looked up by name: the one at work, ours, those of packages."""
    local = Path.cwd() / "experiments"
    known = _folders(EXPERIMENTS_GROUP, ROOT / "experiments")
    return (local, *known) if local.is_dir() and local.resolve() not in known else known


def step_modules(*, local: bool = True, others: bool = True) -> tuple[str, ...]:
    """Import every module of step definitions; returns their names.

    Args:
        local: also the modules in ``steps/`` of the current folder.
        others: also those of packages; False is ours alone.

    Raises InputError that names the module which cannot be imported.
    """
    put_ours_on_the_path()
    ours = [f"steps.{path.stem}" for path in _sources(ROOT / "steps")]
    names = [importlib.import_module(name).__name__ for name in ours]
    for entry in _entries(STEPS_GROUP) if others else ():
        names.extend(_modules(entry))
    folder = Path.cwd() / "steps"
    if local and others and folder.resolve() != ROOT / "steps":
        names.extend(_import_file(path) for path in _sources(folder))
    return tuple(dict.fromkeys(names))


def make_local_activities_importable() -> None:
    """Let the Python functions that experiments call lie in the current folder too, as `chaos run` does."""
    put_ours_on_the_path()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def put_ours_on_the_path() -> None:
    """Folders named steps/ and experiments/ in the current one are no packages, and hide ours from an editable
    install, whose finder is asked last; a package on the path itself comes before a mere folder.
    """
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))


def _sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("[!_]*.py")) if not path.stem.startswith("test_")]


def _modules(entry: EntryPoint) -> Iterator[str]:
    """The module of an entry point, and those in it where it is a package."""
    module = _load(entry)
    yield module.__name__
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if not found.name.startswith(("_", "test_")):
            yield _imported(f"{module.__name__}.{found.name}", _where(entry)).__name__


def _folders(group: str, ours: Path) -> tuple[Path, ...]:
    found = [ours]
    for entry in _entries(group):
        module = _load(entry)
        folders = list(getattr(module, "__path__", ()))
        if not folders:
            raise InputError(
                f"{module.__name__} is no package, so it has no folder of files",
                where=_where(entry),
                remedy="name the package whose folder holds the files",
            )
        found.extend(Path(folder).resolve() for folder in folders)
    return tuple(dict.fromkeys(found))


def _entries(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))


def _load(entry: EntryPoint) -> ModuleType:
    return _imported(entry.module, _where(entry))


def _imported(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the code of others raises is theirs to mend, and ours to name
        raise InputError(
            f"{name} cannot be imported: {type(error).__name__}: {error}",
            where=where,
            remedy="mend or uninstall the package",
        ) from error


def _where(entry: EntryPoint) -> str:
    package = f" of package {entry.dist.name}" if entry.dist is not None else ""
    return f"entry point {entry.name} in {entry.group}{package}"


def _import_file(path: Path) -> str:
    """Import a file of the current folder under a name that hides no other module."""
    folder = hashlib.blake2b(str(path.parent.resolve()).encode(), digest_size=4).hexdigest()
    name = f"{_LOCAL}{folder}_{path.stem}"
    if name in sys.modules:
        return name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError("the steps cannot be imported", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"the steps cannot be imported: {type(error).__name__}: {error}",
            where=f"{path}:{_line(error, path)}",
            remedy="mend the file; its names come from `pytest_bdd`, see docs/writing-a-scenario.md",
        ) from error
    return name


def _line(error: BaseException, path: Path) -> int:
    """The line of the file at which it went wrong, 1 where that is not known."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return error.lineno
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
