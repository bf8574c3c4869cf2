"""The harness itself under test: a sound remediation passes, sabotaged ones fail, each for the right reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clients.kube import KubeClient
from cluster.providers.embedded import EmbeddedProvider
from remediation.discover import Wish, discover
from tests.endtoend.harness import gameday, leftovers, run_folder, summary

pytestmark = [pytest.mark.cluster, pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(180)]


def test_the_runbook_remediation_passes_every_feature_and_nothing_is_left_behind(tmp_path: Path) -> None:
    result = gameday("run", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = run_folder(tmp_path)
    assert {s["verdict"] for s in summary(tmp_path)["scenarios"]} == {"PASS"}
    assert len(summary(tmp_path)["scenarios"]) == 3
    for name in ("report.html", "junit.xml", "timeline.jsonl", "samples.jsonl", "cluster/events.json"):
        assert (folder / name).stat().st_size > 0, name
    journals = [json.loads(path.read_text()) for path in folder.glob("journal-*.json")]
    assert {journal["status"] for journal in journals} == {"completed"}
    assert leftovers(tmp_path) == []


def test_no_secret_of_the_run_reaches_its_evidence(tmp_path: Path) -> None:
    result = gameday("run", "registry_disabled", "--keep-cluster", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = run_folder(tmp_path)
    state = folder / "cluster-state"
    try:
        target = discover(KubeClient(state / "kubeconfig"), Wish("llama-2-7b-production", "system"))
        token = json.loads((state / "kubeconfig").read_text())["users"][0]["user"]["token"]
        secrets = [token, target.api_key, target.registry_token]
        assert all(len(secret) > 8 for secret in secrets)
        evidence = {
            p: p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file() and state not in p.parents
        }
        leaks = [path for path, text in evidence.items() if any(secret in text for secret in secrets)]
        assert leaks == []
        assert not any(secret in result.stdout + result.stderr for secret in secrets)
        pods = [
            path
            for path in (state / "node").rglob("*.log")
            if any(s in path.read_text(errors="replace") for s in secrets)
        ]
        assert pods == []
    finally:
        EmbeddedProvider().down(state)
    assert leftovers(tmp_path) == []


def test_a_run_keeps_no_kubeconfig(tmp_path: Path) -> None:
    assert gameday("run", "no_fault", cwd=tmp_path).returncode == 0
    folder = run_folder(tmp_path)
    assert not (folder / "cluster-state").exists()
    assert (folder / "cluster" / "server.log").exists()


@pytest.mark.parametrize(
    ("saboteur", "feature", "reason"),
    [
        ("DoesNothing", "registry_disabled", "it found nothing"),
        ("ScalesToZero", "oom_crash_loop", "it did not name"),
        ("ClaimsSuccess", "registry_disabled", "it has not recovered"),
        ("Raises", "registry_disabled", "the remediation has a bug"),
    ],
)
def test_a_sabotaged_remediation_fails(tmp_path: Path, saboteur: str, feature: str, reason: str) -> None:
    result = gameday("run", feature, "--remediator", f"tests.endtoend.sabotage:{saboteur}", cwd=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    (scenario,) = summary(tmp_path)["scenarios"]
    assert scenario["verdict"] == "FAIL"
    assert any(reason in text for text in scenario["reasons"]), scenario["reasons"]
    assert leftovers(tmp_path) == []


def test_a_fault_that_has_no_effect_is_invalid_and_not_passed(tmp_path: Path) -> None:
    harmless = tmp_path / "harmless.yaml"
    experiment = Path(__file__).resolve().parents[2] / "experiments" / "oom-crash-loop.yaml"
    text = experiment.read_text().replace("default: 96Mi", "default: 300Mi")
    harmless.write_text(text.replace("timeout_seconds: 40", "timeout_seconds: 6"))
    feature = tmp_path / "harmless.feature"
    feature.write_text(
        "Feature: A fault without effect\n"
        "  Scenario: The limit is changed to one that the model fits into\n"
        "    Given the service is in its steady state\n"
        f'    When the experiment "{harmless}" injects its failure\n'
        "    And the remediation runs\n"
        "    Then the service recovers within 60 seconds\n"
    )
    result = gameday("run", feature, cwd=tmp_path)
    assert result.returncode == 3, result.stdout + result.stderr
    (scenario,) = summary(tmp_path)["scenarios"]
    assert scenario["verdict"] == "INVALID"
    assert "no proven effect" in scenario["reasons"][0]


def test_on_a_cluster_that_exists_a_run_removes_what_it_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_HOME", str(tmp_path / "home"))
    assert gameday("cluster", "up", "--name", "k", cwd=tmp_path).returncode == 0
    try:
        kubeconfig = tmp_path / "home" / "clusters" / "k" / "kubeconfig"
        result = gameday("run", "no_fault", "--kubeconfig", kubeconfig, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        kube = KubeClient(kubeconfig)
        assert [kube.list_objects(kind, "system") for kind in ("deployments", "services", "secrets")] == [[], [], []]
        assert "running" in gameday("cluster", "status", cwd=tmp_path).stdout
    finally:
        assert gameday("cluster", "down", "k", cwd=tmp_path).returncode == 0
    assert leftovers(tmp_path) == []
