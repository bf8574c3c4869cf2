"""A policy is checked when it is read: a hole, an overlap or a wrong key is named, and nothing runs with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import InputError
from remediation.matrix import Interval, MatrixRow, check_total
from remediation.model import Verdict
from remediation.policy import DEFAULT_FILE, Policy

SHIPPED = yaml.safe_load(DEFAULT_FILE.read_text())


def written(folder: Path, content: Any) -> Path:
    path = folder / "policy.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def refusal(folder: Path, content: Any) -> str:
    with pytest.raises(InputError) as refused:
        Policy.load(written(folder, content))
    return str(refused.value)


def test_the_shipped_file_holds_every_key_and_passes_its_own_checks() -> None:
    assert Policy.load(DEFAULT_FILE) == Policy()
    assert set(SHIPPED) | {"baseline_p95_seconds"} == set(Policy.model_fields)


def test_what_a_file_leaves_out_keeps_the_shipped_value(tmp_path: Path) -> None:
    policy = Policy.load(written(tmp_path, {"max_rounds": 1}))
    assert policy == Policy(max_rounds=1)
    assert Policy.load(written(tmp_path, "")) == Policy()


@pytest.mark.parametrize("row", range(len(SHIPPED["matrix"])))
def test_a_missing_row_is_a_gap_that_names_the_cell(tmp_path: Path, row: int) -> None:
    rows = [each for number, each in enumerate(SHIPPED["matrix"]) if number != row]
    text = refusal(tmp_path, {"matrix": rows})
    assert "no row covers the cell healthy" in text
    assert "policy.yaml" in text


@pytest.mark.parametrize("row", range(len(SHIPPED["matrix"])))
def test_a_row_given_twice_is_an_overlap_that_names_rows_and_cell(tmp_path: Path, row: int) -> None:
    text = refusal(tmp_path, {"matrix": [*SHIPPED["matrix"], SHIPPED["matrix"][row]]})
    assert f"rows {row + 1} and {len(SHIPPED['matrix']) + 1} both cover the cell" in text


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("[0.5, 0.75)", "[0.5, 0.75]", "both cover the cell healthy 0.75"),
        ("[0.5, 0.75)", "(0.5, 0.75)", "no row covers the cell healthy 0.5"),
        ("[0.05, 0.1]", "[0.05, 0.1)", "no row covers the cell healthy"),
        ("[0.25, 0.5)", "[0.3, 0.5)", "no row covers the cell healthy 0.25"),
        ("[0.75, 1]", "[0.75, 1)", "no row covers the cell healthy 1,"),
    ],
)
def test_one_boundary_that_is_off_is_found(tmp_path: Path, before: str, after: str, problem: str) -> None:
    text = DEFAULT_FILE.read_text().replace(f'"{before}"', f'"{after}"')
    assert problem in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"max_roundz": 3}, "max_roundz"),
        ({"confirm_seconds": -1}, "confirm_seconds"),
        ({"slo_error_rate": "many"}, "slo_error_rate"),
        ({"hourly_limits": {"restartz": 1}}, "hourly_limits.restartz is none of upgrades"),
        ({"hourly_limits": {"restarts": -1}}, "must not be negative"),
        ({"non_critical_label": "batch"}, "non_critical_label"),
        ({"matrix": [{"healthy": "0-25%", "errors": "[0, 1]", "decision": "rollback"}]}, "no interval"),
        ({"matrix": [{"healthy": "[0, 2]", "errors": "[0, 1]", "decision": "rollback"}]}, "not within [0, 1]"),
        ({"matrix": [{"healthy": "[0, 1]", "errors": "[0, 1]", "decision": "panic"}]}, "'panic' is none of"),
        ("- a\n- b\n", "not a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_input_is_named_with_its_key(tmp_path: Path, content: Any, problem: str) -> None:
    text = refusal(tmp_path, content)
    assert problem in text
    assert "policy.yaml" in text


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Policy.load(tmp_path / "none.yaml")


ends = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
intervals = st.builds(
    lambda a, b, low, high: Interval(min(a, b), max(a, b), low, high), ends, ends, st.booleans(), st.booleans()
)
POINTS = [n / 40 for n in range(41)]


@given(st.lists(st.builds(MatrixRow, intervals, intervals, st.just(Verdict.ROLLBACK)), max_size=5))
def test_rows_pass_exactly_when_every_point_is_in_one_of_them(rows: list[MatrixRow]) -> None:
    """Compared with a grid of points, which holds every end and a point between any two."""
    total = all(sum(s in r.healthy and e in r.errors for r in rows) == 1 for s in POINTS for e in POINTS)
    try:
        check_total(rows)
        assert total
    except ValueError:
        assert not total


@pytest.mark.parametrize(
    ("name", "protected"), [("redis", True), ("batch", False), ("redis-2", False), ("model-registry", True)]
)
def test_protected_workloads_are_named_by_pattern(name: str, protected: bool) -> None:
    assert Policy().is_protected("system", name) is protected
    assert Policy().is_protected("kube-system", name)
