"""The traceability table: what is claimed by a tag or a mark is covered, and what nobody claims is shown as such."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.errors import InputError
from gameday import coverage as module
from gameday.coverage import NOT_COVERED, Row, as_markdown, as_text, coverage
from gameday.extensions import ROOT
from gameday.runbook_ids import claimed_id, load_ids

IDS = """ids:
  fans:
    title: "Fans"
    parts:
      fans-stop: {title: "A fan stops"}
      fans-burn:
        title: "A fan burns"
        parts:
          fans-burn-slowly: {title: "slowly"}
          fans-burn-fast: {title: "fast"}
  beyond-noise: {title: "Noise | dust"}
"""
FEATURE = """@runbook:fans
Feature: Fans
  @runbook:fans-stop @runbook:fans-burn-slowly
  Scenario: A fan stops
    When the experiment "oom-crash-loop" injects its failure
    Then it finds the cause "oom_killed"
  Rule: Noise
    @beyond:noise
    Scenario: It is loud
      When the remediation runs
"""
TEST = """import pytest

class TestX:
    @pytest.mark.runbook("fans-stop", "fans-burn-slowly")
    def test_x(self): ...
"""


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """The table of a small project."""
    for name, text in {
        "docs/runbooks/ids.yaml": IDS,
        "features/fans.feature": FEATURE,
        "tests/test_x.py": TEST,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "load_ids", lambda: load_ids(tmp_path / "docs" / "runbooks" / "ids.yaml"))
    return {row.id: row for row in coverage(others=False)}


def test_a_tag_of_a_scenario_covers_an_id_with_its_experiment_and_cause(rows: dict[str, Row]) -> None:
    row = rows["fans-stop"]
    assert row.status == "covered"
    assert row.features == ("fans: A fan stops",)
    assert (row.experiments, row.causes) == (("oom-crash-loop",), ("memory: oom_killed",))
    assert row.tests == ("tests/test_x.py::TestX::test_x",)


def test_a_scenario_in_a_rule_counts_and_has_only_its_own_steps(rows: dict[str, Row]) -> None:
    assert rows["beyond-noise"].features == ("fans: It is loud",)
    assert rows["beyond-noise"].experiments == ()


def test_a_section_is_covered_by_its_parts_and_not_by_its_own_tag(rows: dict[str, Row]) -> None:
    assert rows["fans"].features == ("fans",)
    assert (rows["fans"].status, rows["fans-burn"].status) == ("2 of 3 covered", "1 of 2 covered")
    assert rows["fans-burn-fast"].status == NOT_COVERED


def test_what_nobody_claims_is_shown(rows: dict[str, Row]) -> None:
    text, page = as_text(list(rows.values())), as_markdown(list(rows.values()))
    assert "3 of 4 demands are covered." in text
    assert "| `fans-burn-fast` | fast | **not covered** |" in page
    assert page.count("not covered") == 1
    assert "[fans](../features/fans.feature): A fan stops" in page
    assert "Noise \\| dust" in page or "## Noise | dust" in page


def test_every_item_of_the_coverage_table_has_an_id() -> None:
    """Counted in the runbook and in the list of failures beyond it."""
    tops = {top.id: [part for _, part in top.walk() if not part.parts] for top in load_ids()}
    assert {name: len(leaves) for name, leaves in tops.items()} == {
        "quick-reference": 7,
        "scenario-1": 6,
        "decision-tree": 5,
        "scenario-2": 5,
        "scenario-3": 5,
        "scenario-4": 4,
        "procedure-1": 1,
        "procedure-2": 1,
        "procedure-3": 2,
        "matrix": 7,
        "monitoring": 5,
        "post-incident": 8,
        "beyond": 14,
    }
    assert all(part.id.startswith(top.id) for top in load_ids() for _, part in top.walk())


@pytest.mark.parametrize(
    ("tag", "claimed"),
    [("runbook:a-b", "a-b"), ("beyond:x", "beyond-x"), ("experiment:x", None), ("control", None), ("runbook", None)],
)
def test_which_tags_claim(tag: str, claimed: str | None) -> None:
    assert claimed_id(tag) == claimed


def test_the_command_prints_every_id_as_json() -> None:
    command = [sys.executable, "-m", "gameday.cli", "coverage", "--format", "json"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert {row["id"] for row in json.loads(made.stdout)} == {one.id for top in load_ids() for _, one in top.walk()}


def test_an_id_listed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ids.yaml"
    path.write_text('ids:\n  a: {title: "A", parts: {b: {title: "B"}}}\n  b: {title: "B"}\n')
    with pytest.raises(InputError, match="'b' is listed twice"):
        load_ids(path)
