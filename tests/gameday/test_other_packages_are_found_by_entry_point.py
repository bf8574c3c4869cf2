"""A package of somebody else, really installed: its steps, features, experiments and rules are found."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gameday.extensions import ROOT

FILES = {
    "pyproject.toml": """
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "acme-chaos"
        version = "1.2.3"
        [project.entry-points."gameday.steps"]
        acme = "acme_chaos.steps"
        [project.entry-points."gameday.features"]
        acme = "acme_chaos.features"
        [project.entry-points."gameday.experiments"]
        acme = "acme_chaos.experiments"
        [project.entry-points."gameday.remediation_rules"]
        acme = "acme_chaos.rules:FAMILY"
        [tool.setuptools.packages.find]
        include = ["acme_chaos*"]
        [tool.setuptools.package-data]
        "*" = ["*.feature", "*.yaml"]
    """,
    "acme_chaos/__init__.py": "",
    "acme_chaos/faults.py": """
        def turn_the_fan_off() -> bool:
            return True
        def fan_is_off() -> bool:
            return True
    """,
    "acme_chaos/steps/__init__.py": "",
    "acme_chaos/steps/fans.py": """
        from pytest_bdd import parsers, then

        @then(parsers.parse("fan {number:d} turns"))
        def fan_turns(run, number):
            \"\"\"That fan turns.\"\"\"
    """,
    "acme_chaos/features/__init__.py": "",
    "acme_chaos/features/acme_fan.feature": """
        @experiment:acme-fan
        Feature: A fan of Acme stops
          Scenario: It stops
            When the experiment "acme-fan" injects its failure
            Then it finds the cause "fan_stopped"
            And fan 7 turns
    """,
    "acme_chaos/experiments/__init__.py": "",
    "acme_chaos/experiments/acme-fan.yaml": """
        title: A fan stops
        description: It stops.
        steady-state-hypothesis:
          title: It turns
          probes:
            - {type: probe, name: a, tolerance: true,
               provider: {type: python, module: acme_chaos.faults, func: fan_is_off}}
        method:
          - {type: action, name: b, provider: {type: python, module: acme_chaos.faults, func: turn_the_fan_off}}
          - {type: probe, name: c, tolerance: true,
             provider: {type: python, module: acme_chaos.faults, func: fan_is_off}}
        rollbacks:
          - {type: action, name: d, provider: {type: python, module: acme_chaos.faults, func: turn_the_fan_off}}
    """,
    "acme_chaos/rules.py": """
        from remediation.rules import RuleFamily

        FAN_STOPPED = "fan_stopped"

        def find(snapshot, policy):
            return ()

        FAMILY = RuleFamily(name="acme", find=find)
    """,
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())


def install(source: Path, target: Path) -> None:
    """Build and install a package as its users do, without the network."""
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    write(source, FILES)
    install(source, target)
    return target


def gameday(packages: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(packages)))}
    command = [sys.executable, "-m", "gameday.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_its_features_are_listed_and_played_with_ours(acme: Path, tmp_path: Path) -> None:
    listed = gameday(acme, tmp_path, "features").stdout
    assert "acme_fan                        A fan of Acme stops" in listed
    assert "oom_crash_loop" in listed


def test_its_steps_and_causes_are_in_the_catalogue(acme: Path, tmp_path: Path) -> None:
    listed = gameday(acme, tmp_path, "steps").stdout
    assert "  fan <number> turns\n      That fan turns.\n      e.g. Then fan 7 turns" in listed
    assert "  acme        fan_stopped" in listed
    assert "fan <number>" not in gameday(acme, tmp_path, "steps", "--built-in").stdout


def test_its_experiment_is_found_by_name_and_everything_of_it_is_in_order(acme: Path, tmp_path: Path) -> None:
    result = gameday(acme, tmp_path, "lint", str(acme / "acme_chaos"))
    assert (result.returncode, result.stdout) == (0, "2 files checked, nothing to complain about\n"), result.stdout


def test_its_feature_passes_the_checks_of_a_run(acme: Path, tmp_path: Path) -> None:
    """The chart that is not there is looked at last: before it, steps and experiment were found."""
    result = gameday(acme, tmp_path, "run", "acme_fan", "--chart", "nosuch")
    assert result.returncode == 2
    assert "nosuch: there is no chart" in result.stderr


def test_without_the_package_nothing_of_it_is_there(tmp_path: Path) -> None:
    result = gameday(tmp_path, tmp_path, "run", "acme_fan")
    assert result.returncode == 2
    assert "acme_fan: there is no such feature" in result.stderr


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("acme_chaos/steps/fans.py", "import nosuch\n", "entry point acme in gameday.steps of package acme-chaos: "),
        ("acme_chaos/features/__init__.py", "raise ValueError('no')\n", "entry point acme in gameday.features of pack"),
    ],
)
def test_a_broken_package_is_named(acme: Path, tmp_path: Path, file: str, text: str, said: str) -> None:
    (tmp_path / "broken").mkdir()
    write(tmp_path / "broken", {**{k: v for k, v in FILES.items() if k.startswith("acme_chaos/")}, file: text})
    (dist_info,) = acme.glob("*.dist-info")
    (tmp_path / "broken" / dist_info.name).symlink_to(dist_info)
    result = gameday(tmp_path / "broken", tmp_path, "steps")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert said in line
    assert "Traceback" not in line


EDITABLE = """
import importlib.util, os, sys
class Finder:  # as an editable install has it: asked after the path
    @staticmethod
    def find_spec(name, path=None, target=None):
        init = os.path.join({root!r}, name, "__init__.py")
        return importlib.util.spec_from_file_location(name, init) if os.path.exists(init) else None
sys.meta_path.append(Finder)
sys.path.insert(0, "")
from gameday.cli import main
sys.argv = ["gameday", *sys.argv[1:]]
main()
"""


def test_folders_of_work_do_not_hide_our_packages_from_an_editable_install(tmp_path: Path) -> None:
    """steps/ and experiments/ in the current folder, which is on the path, have the names of packages of ours."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for arguments in (["new", "scenario", "fan_stops"], ["lint"], ["steps"]):
        (tmp_path / "steps").mkdir(exist_ok=True)
        result = subprocess.run(
            [sys.executable, "-c", EDITABLE.format(root=str(ROOT)), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, (arguments, result.stdout, result.stderr)
