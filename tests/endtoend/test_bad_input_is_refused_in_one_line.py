"""Bad input: exit code 2, one clear message that names the place and what to do, no traceback, nothing left behind."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.endtoend.harness import ROOT, gameday, leftovers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(90)]
CHART = ROOT / "charts" / "vllm-deployment"


def refused(tmp_path: Path, *arguments: str | Path, naming: str) -> str:
    """Run and check the form of the refusal; returns the message."""
    result = gameday(*arguments, cwd=tmp_path)
    assert result.returncode == 2, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stdout + result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("gameday: ")
    assert naming in line
    assert leftovers(tmp_path) == []
    return line


def test_an_unknown_feature(tmp_path: Path) -> None:
    assert "oom_crash_loop" in refused(tmp_path, "run", "features/nosuch.feature", naming="features/nosuch.feature")


def test_a_feature_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.feature").write_text("Feature: x\n  Scenario: y\n    Nonsense\n")
    refused(tmp_path, "run", "x.feature", naming="x.feature:")


def test_a_step_that_nobody_defined(tmp_path: Path) -> None:
    (tmp_path / "x.feature").write_text("Feature: x\n  Scenario: y\n    Given the moon is full\n")
    assert "the moon is full" in refused(tmp_path, "run", "x.feature", naming="x.feature")


def test_a_broken_values_file(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("a: [1\n")
    refused(tmp_path, "run", "--values", "values.yaml", naming="values.yaml")


def test_a_chart_that_does_not_render(tmp_path: Path) -> None:
    chart = tmp_path / "broken"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: broken\nversion: 0.1.0\n")
    (chart / "templates" / "x.yaml").write_text("{{ .Values.a.b.c }}")
    refused(tmp_path, "run", "--chart", chart, naming=str(chart))


def test_values_that_the_chart_refuses(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("replicaCount: many\n")
    refused(tmp_path, "run", "--values", "values.yaml", naming="replicaCount")


def test_a_chart_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path, "run", "--chart", "nosuch", naming="nosuch")


def test_an_experiment_with_an_unknown_action(tmp_path: Path) -> None:
    experiment = (ROOT / "experiments" / "registry-disabled.yaml").read_text()
    (tmp_path / "x.yaml").write_text(experiment.replace("func: disable", "func: nosuch"))
    (tmp_path / "x.feature").write_text(
        'Feature: x\n  Scenario: y\n    When the experiment "x.yaml" injects its failure\n'
    )
    assert "nosuch" in refused(tmp_path, "run", "x.feature", naming="x.yaml")


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(tmp_path, "run", "no_fault", "--port", port, naming=port)


def test_a_missing_kubeconfig(tmp_path: Path) -> None:
    refused(tmp_path, "run", "no_fault", "--kubeconfig", "nosuch", naming="nosuch")


def test_a_wrong_token(tmp_path: Path) -> None:
    environment = {"GAMEDAY_HOME": str(tmp_path / "home")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAMEDAY_HOME", environment["GAMEDAY_HOME"])
        up = gameday("cluster", "up", "--name", "t", cwd=tmp_path)
        assert up.returncode == 0, up.stderr
        try:
            kubeconfig = tmp_path / "home" / "clusters" / "t" / "kubeconfig"
            content = json.loads(kubeconfig.read_text())
            content["users"][0]["user"]["token"] = "wrong"
            (tmp_path / "wrong").write_text(json.dumps(content))
            result = gameday("run", "no_fault", "--kubeconfig", "wrong", cwd=tmp_path)
            assert result.returncode == 2, result.stdout + result.stderr
            (line,) = result.stderr.strip().splitlines()
            assert "wrong" in line or "token" in line
        finally:
            down = gameday("cluster", "down", "t", cwd=tmp_path)
    assert down.returncode == 0, down.stderr
    assert leftovers(tmp_path) == []


def test_objectives_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text("error_ratio: 7\n")
    refused(tmp_path, "run", "--slo", "slo.yaml", naming="slo.yaml: ")


def test_a_remediator_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path, "run", "--remediator", "nosuch:thing", naming="nosuch:thing")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    refused(tmp_path, "report", tmp_path, naming="summary.json")
