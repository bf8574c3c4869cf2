"""`gameday lint`: every kind of mistake is found without a cluster, with file, line, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.errors import InputError
from gameday.extensions import ROOT
from gameday.lint import lint
from gameday.scaffold import Kind, new_scenario

FEATURE = """@experiment:fan-stops
Feature: Fan stops
  Background:
    Given the service is in its steady state

  Scenario: A fan stops
    When the experiment "fan-stops" injects its failure
    Then the service recovers within 60 seconds
"""
OUTLINE = """Feature: f
  Scenario Outline: s
    Given the service is in its steady state
    Then the registry holds model "<model>" as <status>
    Examples:
      | model | status  |
      | a     | "ready" |
      | b     | ready   |
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one sound scenario."""
    monkeypatch.chdir(tmp_path)
    new_scenario("fan_stops", Kind.POD_KILLED)
    (tmp_path / "features" / "fan_stops.feature").write_text(FEATURE)
    return tmp_path


def problems(*paths: str) -> list[str]:
    return [str(one) for one in lint([Path(path) for path in paths]).problems]


def test_the_repository_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = lint([])
    assert result.problems == ()
    assert result.checked >= 8


@pytest.mark.parametrize("kind", list(Kind))
def test_what_new_scenario_writes_is_clean(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    new_scenario("fan_stops", kind)
    assert problems() == []
    assert lint([]).checked == 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "the service recovers within",
            "the service recover in",
            "8: no step definition matches: Then the service recover in 60 seconds; "
            "did you mean: Then the service recovers within <seconds> seconds",
        ),
        ("Then the service", "Given the service", "6: scenario 'A fan stops' claims nothing; add a Then"),
        ("Then the service recovers", "When the service recovers", "8: no step definition matches: When the service"),
        ("    Given the service is", "    Given the moon is", "4: no step definition matches: Given the moon is in"),
        ("@experiment:fan-stops", "@experiment:fan-stop", "1: no step uses the experiment of the tag @experiment:fan"),
        ("@experiment:fan-stops\n", "", "5: scenario 'A fan stops' uses the experiment 'fan-stops' and has no tag"),
        ('"fan-stops"', '"fan-stop"', "7: there is no experiment 'fan-stop'; did you mean 'fan-stops'?"),
        ("@exp", "@runbook:scenario-1-omo @exp", "1: @runbook:scenario-1-omo names no id of the runbook; did you mean"),
        ("@exp", "@beyond:node-los @exp", "1: @beyond:node-los names no id of the runbook; did you mean 'beyond-node-"),
        ("@exp", "@runbok:scenario-1 @exp", "1: @runbok:scenario-1 means nothing; did you mean @runbook:...?"),
        ("Feature: Fan stops", "Faeture: Fan stops", "2: the feature cannot be read: "),
        (FEATURE, "", "1: there is no Feature in this file; begin with Feature:"),
        (FEATURE, "Feature: x\n", "1: the feature has no scenario; write a Scenario"),
        (FEATURE, "Feature: x\n  Scenario: s\n    Nonsense\n", "2: scenario 's' has no step; "),
        (
            "  Scenario: A",
            "  Scenario: A fan stops\n    Then it changes no Helm release\n  Scenario: A",
            "8: there is an",
        ),
        (FEATURE, OUTLINE, '4: no step definition matches: Then the registry holds model "b" as ready; did you mean'),
        (FEATURE, OUTLINE.replace("status  |", "state   |"), "4: nothing fills <status>; add a column of that name"),
        (FEATURE, OUTLINE[: OUTLINE.index("      | a")], "2: the outline has no row of examples, so it never runs"),
        (
            "Then the service",
            'Then it finds the cause "oom_kiled"\n    And the service',
            "8: no rule finds the cause 'oom_kiled'; did you mean 'oom_killed'?",
        ),
    ],
)
def test_a_mistake_in_a_feature(folder: Path, old: str, new: str, expected: str) -> None:
    path = folder / "features" / "fan_stops.feature"
    assert problems() == []
    assert old in FEATURE
    path.write_text(FEATURE.replace(old, new, 1))
    found = [one for one in problems() if one.startswith("features/")]
    assert [one for one in found if one.startswith(f"features/fan_stops.feature:{expected}")], found


def test_a_step_of_another_keyword_is_pointed_out(folder: Path) -> None:
    path = folder / "features" / "fan_stops.feature"
    path.write_text(FEATURE.replace("Then the service", "When the service"))
    assert any("it is a step of Then" in one for one in problems())


def test_two_definitions_of_one_sentence(folder: Path) -> None:
    (folder / "steps").mkdir()
    (folder / "steps" / "mine.py").write_text(
        'from pytest_bdd import given\n@given("the service is in its steady state")\ndef f(run): ...\n'
    )
    (found,) = problems()
    assert found.startswith("features/fan_stops.feature:4: two step definitions match: the service is in its steady st")
    assert "steps/service.py" in found
    assert "steps/mine.py:2" in found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("func: some_not_ready", "func: some_not_redy", "30: Chaos Toolkit refuses it: The python module"),
        ("module: chaosk8s.pod.actions", "module: chaosk8s.nosuch", "23: Chaos Toolkit refuses it: could not find"),
        ("{release:", "{relase:", "Chaos Toolkit refuses it: "),
        ("title: Fan stops\n", "", "1: Chaos Toolkit refuses it: experiment requires a title"),
        (
            "    tolerance: true\n    provider:\n      type: python\n      module: experiments.pods\n      func: some",
            "    provider:\n      type: python\n      module: experiments.pods\n      func: some",
            "30: the last probe has no tolerance: it proves nothing",
        ),
        (
            "${release}",
            "${relaese}",
            "19: ${relaese} is not in the configuration; add relaese to it, or use one of namespace, release",
        ),
        ("rollbacks:\n", "rollbocks:\n", "1: the experiment has no rollbacks; undo there what the method did"),
        ("method:", "methods:", "1: the method has no action: nothing breaks"),
        ("type: action", "type: probe\n    tolerance: true", "22: the method has no action: nothing breaks"),
        ("steady-state-hypothesis:", "hypothesis:", "1: the experiment has no steady-state hypothesis with a probe"),
        ("tags: [vllm, pods]", "tags: [vllm, pods", "this is no YAML"),
        ("tags: [vllm, pods]", "title: Again", "4: 'title' stands twice in one mapping"),
    ],
)
def test_a_mistake_in_an_experiment(folder: Path, old: str, new: str, expected: str) -> None:
    path = folder / "experiments" / "fan-stops.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found = problems()
    assert [one for one in found if one.startswith("experiments/fan-stops.yaml:") and expected in one], found


def test_a_method_that_ends_with_its_action_proves_nothing(folder: Path) -> None:
    path = folder / "experiments" / "fan-stops.yaml"
    text = path.read_text()
    start, end = text.index("  - type: probe\n    name: a-pod-is-missing"), text.index("# What undoes")
    path.write_text(text[:start] + text[end:])
    (found,) = problems()
    assert "the method does not end with a probe: nothing proves the effect" in found


def test_an_experiment_that_nobody_uses_is_named_unless_it_stands_alone(folder: Path) -> None:
    path = folder / "experiments" / "spare.yaml"
    text = (folder / "experiments" / "fan-stops.yaml").read_text()
    path.write_text(text)
    (found,) = problems()
    assert found.startswith("experiments/spare.yaml:4: no feature uses the experiment 'spare'; write `When the exp")
    path.write_text(text.replace("tags: [vllm, pods]", "tags: [vllm, pods, standalone]"))
    assert problems() == []


def test_a_mistake_in_a_policy_names_its_key_and_line(folder: Path) -> None:
    (folder / "policy.yaml").write_text("confirm_seconds: 3\nmemory_factor: 0.5\n")
    (found,) = problems()
    assert found.startswith("policy.yaml:2: memory_factor: ")
    (folder / "policy.yaml").write_text("confirm_seconds: 3\n")
    assert problems() == []


def test_a_hole_in_the_matrix_of_a_policy(folder: Path) -> None:
    text = (ROOT / "remediation" / "policy.yaml").read_text()
    row = '  - {healthy: "[0.75, 1]", errors: "(0.1, 1]", decision: rollback}\n'
    assert row in text
    (folder / "policy.yaml").write_text(text.replace(row, ""))
    (found,) = problems()
    assert found.startswith(f"policy.yaml:{text.splitlines().index('matrix:') + 1}: matrix: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ids:\n  a: {title: x, y}\n", "docs/runbooks/ids.yaml:2: 'a' has 'y', which means nothing here"),
        ('ids:\n  a: {title: "x"}\n  a: {title: "y"}\n', "docs/runbooks/ids.yaml:3: 'a' stands here twice"),
        ('ids:\n  A B: {title: "x"}\n', "docs/runbooks/ids.yaml:2: 'A B' is no id"),
        ("ids: []\n", "docs/runbooks/ids.yaml:1: there is no mapping 'ids'"),
    ],
)
def test_a_mistake_in_a_list_of_ids(folder: Path, text: str, expected: str) -> None:
    path = folder / "docs" / "runbooks" / "ids.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert [one for one in problems() if one.startswith(expected)], problems()


def test_ids_of_ones_own_can_be_claimed(folder: Path) -> None:
    path = folder / "docs" / "runbooks" / "ids.yaml"
    path.parent.mkdir(parents=True)
    path.write_text('ids:\n  acme-fans: {title: "Fans"}\n')
    (folder / "features" / "fan_stops.feature").write_text(f"@runbook:acme-fans {FEATURE}")
    assert problems() == []


def test_a_mark_of_a_test_that_names_no_id(folder: Path) -> None:
    (folder / "tests" / "test_x.py").write_text(
        'import pytest\n\npytestmark = [pytest.mark.runbook("matrix-gaps")]\n\n'
        '@pytest.mark.runbook("matrix-gap")\ndef test_x(): ...\n'
    )
    (found,) = problems()
    assert found == "tests/test_x.py:5: the mark 'matrix-gap' names no id of the runbook; did you mean 'matrix-gaps'?"


def test_a_package_that_would_hide_ours(folder: Path) -> None:
    (folder / "experiments" / "__init__.py").write_text("")
    (found,) = problems()
    assert found.startswith("experiments/__init__.py:1: it makes this folder a package that hides ours")


def test_single_files_can_be_checked(folder: Path) -> None:
    assert lint([Path("features/fan_stops.feature")]).checked == 1
    assert lint([Path("experiments/fan-stops.yaml"), Path("features")]).checked == 2


def test_nothing_to_check_is_not_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.txt").write_text("")
    for paths in ([], [Path("nosuch.feature")], [Path("x.txt")], [tmp_path]):
        with pytest.raises(InputError):
            lint(paths)
