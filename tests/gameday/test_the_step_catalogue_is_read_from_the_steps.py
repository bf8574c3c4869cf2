"""The step catalogue: complete, with examples that are true, and the pages generated from it are fresh."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.errors import InputError
from gameday.activities import activities
from gameday.catalogue import StepDefinition, as_json, catalogue, definitions, nearest
from gameday.causes import known_causes
from gameday.extensions import ROOT, step_modules
from gameday.features import check_features

STEPS = '''
from pytest_bdd import given, parsers, step, then

@then(parsers.re(r"(?P<count>\\d+) (?:fans|a fan) of node (?P<node>\\w+) turns?"))
def fans_turn(run, count, node):
    """So many fans turn."""

@given(parsers.parse("a fan with {blades:d} blades"))
def a_fan_with_blades(run, blades): ...

@step(parsers.cfparse('someone says "{word}"'))
def someone_says(run, word): ...
'''


def ours() -> tuple[StepDefinition, ...]:
    return catalogue(step_modules(others=False), sorted((ROOT / "features").glob("*.feature")))


def local(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = STEPS) -> list[StepDefinition]:
    """The steps of a folder of its own."""
    (folder / "steps").mkdir()
    (folder / "steps" / "fans.py").write_text(text)
    monkeypatch.chdir(folder)
    return [one for one in catalogue(step_modules(), []) if one.source.startswith("steps/fans.py")]


def test_every_definition_in_steps_is_listed_once_with_what_it_means() -> None:
    listed = ours()
    defined = sum(
        line.startswith(("@given(", "@when(", "@then(", "@step("))
        for path in (ROOT / "steps").glob("*.py")
        for line in path.read_text().splitlines()
    )
    assert len({(one.keyword, one.pattern) for one in listed}) == len(listed) == defined
    silent = [one.source for one in listed if not one.context.step_func.__doc__]
    assert silent == [], "say in a docstring what these steps claim"


def test_every_example_is_a_sentence_that_its_step_matches() -> None:
    for one in ours():
        assert one.examples
        for example in one.examples:
            keyword, sentence = example.split(" ", 1)
            assert one.matches(keyword.lower(), sentence), example


def test_examples_come_from_the_features() -> None:
    (inject,) = [one for one in ours() if one.context.step_func.__name__ == "inject"]
    assert inject.keyword == "when"
    assert inject.pattern == 'the experiment "<experiment>" injects its failure'
    assert all((ROOT / "experiments" / f"{e.split(chr(34))[1]}.yaml").is_file() for e in inject.examples)


def test_a_step_that_no_feature_uses_has_an_example_made_from_its_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_fan, fans, someone = local(tmp_path, monkeypatch)
    assert (a_fan.examples, a_fan.meaning) == (("Given a fan with 5 blades",), "A fan with blades.")
    assert (fans.pattern, fans.meaning) == ("<count> fans of node <node> turn", "So many fans turn.")
    assert fans.examples == ("Then 5 fans of node 5 turn",)
    assert someone.keyword == "any"
    assert someone.matches("when", 'someone says "x"')


def test_the_steps_of_another_folder_do_not_linger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert len(local(first, monkeypatch)) == 3
    (one,) = local(second, monkeypatch, 'from pytest_bdd import given\n@given("x")\ndef x(run): ...\n')
    assert one.pattern == "x"


def test_local_steps_that_cannot_be_imported_are_named_with_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"fans.py:2: .*No module named 'behave'"):
        local(tmp_path, monkeypatch, "import os\nfrom behave import given\n")


def test_the_steps_folder_of_something_else_is_no_concern_of_our_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "theirs.py").write_text("from behave import given\n")
    monkeypatch.chdir(tmp_path)
    assert check_features([ROOT / "features" / "oom_crash_loop.feature"]) == ["oom-crash-loop"]


@pytest.mark.parametrize(
    ("keyword", "sentence", "pattern"),
    [
        ("then", "the service recovers in 60 seconds", "the service recovers within <seconds> seconds"),
        ("then", "at least 2 pods was terminated with reason", "at least <number> pod is terminated with reason"),
        ("when", 'the experiment "a-b" inject its failure', 'the experiment "<experiment>" injects its failure'),
        ("then", "it change no helm release", "it changes no Helm release"),
    ],
)
def test_the_nearest_step_is_the_one_that_was_meant(keyword: str, sentence: str, pattern: str) -> None:
    near = nearest(keyword, sentence, definitions(step_modules(others=False)))
    assert near is not None
    assert near.pattern.startswith(pattern)


def test_nothing_is_near_to_nonsense() -> None:
    assert nearest("then", "zzz qqq xxx", definitions(step_modules(others=False))) is None


def test_json_has_every_field() -> None:
    rows = json.loads(as_json(ours()))
    assert len(rows) == len(ours())
    assert all(set(row) == {"keyword", "pattern", "meaning", "examples", "module", "source"} for row in rows)
    assert {row["module"] for row in rows} >= {"steps.service", "steps.failure", "steps.remediation"}


def test_causes_are_those_that_rules_define_and_not_what_they_import() -> None:
    causes = known_causes()
    assert (causes["oom_killed"], causes["registry_disabled"]) == ("memory", "registry")
    assert not {"ready", "disabled", "OOMKilled"} & set(causes)


def test_activities_are_the_public_functions_with_their_arguments() -> None:
    known = {f"{one.module}.{one.func}": one for one in activities()}
    assert known["experiments.pods.oom_killed"].arguments == (
        "release: str",
        "namespace: str",
        "timeout_seconds: float",
    )
    assert known["experiments.network.inject"].arguments[-1] == "timeout_seconds: float = 10.0"
    assert not [name for name in known if name.startswith("experiments.cluster.")]


@pytest.mark.parametrize(
    ("page", "arguments"),
    [
        ("steps.md", ("steps", "--built-in")),
        ("activities.md", ("activities",)),
        ("coverage.md", ("coverage", "--built-in")),
    ],
)
def test_the_generated_pages_are_fresh(page: str, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "gameday.cli", *arguments, "--format", "markdown"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert (ROOT / "docs" / page).read_text() == made.stdout, f"docs/{page} is stale: run `make docs`"
