"""Writes the files of a new scenario: a feature, an experiment and a test that run as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from clients.errors import EnvironmentUnusable, InputError
from gameday.extensions import ROOT, feature_folders

DOCS = ROOT / "docs"
TEMPLATES = Path(__file__).with_name("templates") / "scenario"
LONGEST_NAME = 50
"""Characters of a name: it becomes part of Helm descriptions and of object names in the cluster (63 at most)."""
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


class Kind(StrEnum):
    """The failures to begin with; each has a template."""

    POD_KILLED = "pod-killed"
    BAD_VALUES = "bad-values"
    REGISTRY_DISABLED = "registry-disabled"
    SLOW_NETWORK = "slow-network"


@dataclass(frozen=True, slots=True)
class NewScenario:
    """What was written, relative to the folder."""

    name: str
    feature: Path
    experiment: Path
    test: Path

    @property
    def instructions(self) -> str:
        """What a person does next."""
        return "\n".join(
            (
                "wrote",
                f"  {self.feature!s:<40} what is claimed: change the sentences",
                f"  {self.experiment!s:<40} what breaks: change the method and its proof",
                f"  {self.test!s:<40} runs both, for your CI",
                "next",
                f"  gameday run {self.name:<28} play it: it runs as it is, in about half a minute",
                "  gameday steps                            the sentences that the feature can use",
                "  gameday activities                       the functions that the experiment can call",
                "  gameday lint                             check what you wrote, without a cluster",
                f"{DOCS / 'writing-a-scenario.md'} goes through an example.",
            )
        )


def new_scenario(name: str, kind: Kind, folder: Path | None = None) -> NewScenario:
    """Write the files of a scenario into a folder (the current one). No file is overwritten.

    Raises InputError when the name is none or is taken, EnvironmentUnusable when the folder cannot be written.
    """
    folder = folder or Path.cwd()
    name, experiment = _names(name)
    _refuse_ours(name, folder)
    tests = Path("tests", "endtoend") if (folder / "tests" / "endtoend").is_dir() else Path("tests")
    made = NewScenario(
        name=name,
        feature=Path("features", f"{name}.feature"),
        experiment=Path("experiments", f"{experiment}.yaml"),
        test=tests / f"test_{name}.py",
    )
    values = {
        "name": name,
        "experiment": experiment,
        "title": name.replace("_", " ").capitalize(),
        "up": len(tests.parts),
    }
    templates = {made.feature: f"{kind}.feature.j2", made.experiment: f"{kind}.yaml.j2", made.test: "test.py.j2"}
    for path in templates:
        if (folder / path).exists():
            raise InputError("this file is there already", where=str(path), remedy="choose another name, or remove it")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=select_autoescape(),
    )
    written: list[Path] = []
    try:
        for path, template in templates.items():
            _write(folder / path, environment.get_template(template).render(values))
            written.append(folder / path)
    except EnvironmentUnusable:
        for path in written:  # half a scenario would stand in the way of the next attempt
            path.unlink()
        raise
    return made


def _names(name: str) -> tuple[str, str]:
    """The name of the feature (with underscores) and of the experiment (with dashes)."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:LONGEST_NAME].strip("_")
        form = f"at most {LONGEST_NAME} small letters, digits and underscores, a letter first"
        raise InputError(
            f"{name!r} is no name of a scenario",
            where="NAME",
            remedy=f"use {form}, such as {words or 'gpu_fan_stops'}",
        )
    return name.replace("-", "_"), name.replace("_", "-")


def _refuse_ours(name: str, folder: Path) -> None:
    """A feature or experiment that has the name of one which is always there would hide it, or be hidden."""
    taken = [one / f"{name}.feature" for one in feature_folders()]
    taken.append(ROOT / "experiments" / f"{name.replace('_', '-')}.yaml")
    for path in taken:
        if path.exists() and not path.is_relative_to(folder.resolve()):
            raise InputError(
                f"there is a {path.suffix.lstrip('.').replace('yaml', 'built-in experiment')} of this name",
                where=path.name,
                remedy="choose another name; `gameday features` lists those taken",
            )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        raise EnvironmentUnusable(
            f"cannot be written: {error.strerror}", where=str(path), remedy="work in a folder that you can write to"
        ) from error
