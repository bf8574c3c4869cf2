"""`gameday new scenario`: three files, none of them in the place of another, whatever the name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import EnvironmentUnusable, InputError
from gameday.features import check_features, find_features, local_features
from gameday.scaffold import LONGEST_NAME, Kind, new_scenario


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", list(Kind))
def test_its_files_can_be_run(folder: Path, kind: Kind) -> None:
    made = new_scenario("gpu_fan_stops", kind)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "experiments/gpu-fan-stops.yaml",
        "features/gpu_fan_stops.feature",
        "tests/test_gpu_fan_stops.py",
    ]
    assert check_features([made.feature]) == ["gpu-fan-stops"]
    assert yaml.safe_load((folder / made.experiment).read_text())["title"] == "Gpu fan stops"
    ast.parse((folder / made.test).read_text())


@pytest.mark.parametrize("argument", ["gpu_fan_stops", "gpu_fan_stops.feature", "features/gpu_fan_stops.feature"])
def test_it_is_found_by_name_and_by_path(folder: Path, argument: str) -> None:
    made = new_scenario("gpu-fan-stops", Kind.POD_KILLED)
    assert [path.resolve() for path in find_features([argument])] == [folder / made.feature]
    assert local_features() == (folder / made.feature,)


def test_its_test_goes_where_game_days_are_tested(folder: Path) -> None:
    (folder / "tests" / "endtoend").mkdir(parents=True)
    made = new_scenario("gpu_fan_stops", Kind.POD_KILLED)
    assert made.test == Path("tests/endtoend/test_gpu_fan_stops.py")
    assert "parents[2]" in (folder / made.test).read_text()


@pytest.mark.parametrize("taken", ["features/x.feature", "experiments/x.yaml", "tests/test_x.py"])
def test_nothing_is_overwritten(folder: Path, taken: str) -> None:
    (folder / taken).parent.mkdir()
    (folder / taken).write_text("mine")
    with pytest.raises(InputError, match=taken):
        new_scenario("x", Kind.POD_KILLED)
    assert [path.read_text() for path in folder.rglob("*") if path.is_file()] == ["mine"]


@pytest.mark.parametrize("name", ["oom_crash_loop", "oom-crash-loop", "no_fault", "network-delay"])
def test_the_names_of_ours_are_taken(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="of this name"):
        new_scenario(name, Kind.POD_KILLED)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("GPU Fan Stops!", "gpu_fan_stops"),
        ("../../etc/passwd", "etc_passwd"),
        ("a__b", "a_b"),
        ("7up", "up"),
        ("", "gpu_fan_stops"),
        ("x" * 51, "x" * 50),
        ("x\n", "x"),
    ],
)
def test_a_name_that_is_none_is_refused_with_one_that_is(folder: Path, name: str, suggested: str) -> None:
    with pytest.raises(InputError) as refused:
        new_scenario(name, Kind.POD_KILLED)
    assert refused.value.remedy.endswith(f"such as {suggested}")
    assert list(folder.iterdir()) == []
    new_scenario(suggested, Kind.POD_KILLED)


@given(name=st.text(max_size=LONGEST_NAME + 5))
def test_no_name_leaves_the_folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("name")
    try:
        made = new_scenario(name, Kind.POD_KILLED, folder)
    except InputError:
        assert list(folder.iterdir()) == []
    else:
        assert all((folder / path).resolve().is_relative_to(folder) for path in (made.feature, made.experiment))


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    (folder / "tests").write_text("a file, no folder")
    with pytest.raises(EnvironmentUnusable, match=r"tests/test_x.py: cannot be written"):
        new_scenario("x", Kind.POD_KILLED)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["tests"]


def test_it_says_what_to_do_next(folder: Path) -> None:
    said = new_scenario("x", Kind.POD_KILLED).instructions
    for words in ("features/x.feature", "experiments/x.yaml", "tests/test_x.py", "gameday run x", "gameday lint"):
        assert words in said
