"""Experiments by `chaos run` and the remediation by `remediate`, each on its own, on one cluster with the platform."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.session import GameDay, available
from tests.endtoend.days import running_day
from tests.endtoend.harness import ROOT, environment, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GameDay]:
    """A cluster with both charts installed, the model registered, and load."""
    with running_day(tmp_path_factory.mktemp("alone")) as day:
        yield day


def status(day: GameDay) -> str:
    """The model's status in the registry."""
    entry = day.registry().get("production", "llama-2-7b")
    assert entry is not None
    return entry.status


def remediate(day: GameDay, verb: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run `remediate VERB` as on-call would."""
    access = ["--release", day.subject.release, "-n", "system", "--kubeconfig", str(day.cluster.kubeconfig)]
    return subprocess.run(
        [sys.executable, "-m", "remediation.cli", verb, *access, *more],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def chaos(day: GameDay, name: str) -> dict[str, object]:
    """Run an experiment by `chaos run`, without a game day around it; returns its journal."""
    journal = day.folder / f"{name}.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"),
            *("--settings", str(day.folder / "settings.yaml"), "run", "--rollback-strategy", "always"),
            *("--journal-path", str(journal), str(ROOT / "experiments" / f"{name}.yaml")),
        ],
        env={**environment(), **day.experiment_environment()},
        cwd=day.folder,
        capture_output=True,
        timeout=140,
    )
    content: dict[str, object] = json.loads(journal.read_text())
    return content


@pytest.mark.parametrize("name", ["registry-disabled", "oom-crash-loop", "network-delay"])
def test_an_experiment_alone_deviates_and_restores_the_steady_state(day: GameDay, name: str) -> None:
    journal = chaos(day, name)
    assert journal["deviated"] is True  # nobody repaired anything
    rollbacks = journal["rollbacks"]
    assert isinstance(rollbacks, list)
    assert [run["status"] for run in rollbacks] == ["succeeded"]
    assert status(day) == "ready"
    assert day.observer.wait_until(lambda count: count.whole, timeout_seconds=30)
    assert day.stored_release().computed_values["resources"]["limits"]["memory"] == "256Mi"


def test_a_stock_helm_shows_the_history(day: GameDay) -> None:
    with day.helm() as helm:
        history = helm.history(day.subject.release)
    assert history[0].status in ("superseded", "deployed")
    assert history[-1].status == "deployed"
    assert [revision.revision for revision in history] == list(range(1, len(history) + 1))


def test_plan_prints_the_commands_and_changes_nothing_and_apply_does_them(day: GameDay) -> None:
    day.registry().disable("production", "llama-2-7b")
    revision = day.release_revision()
    diagnosed = remediate(day, "diagnose")
    assert "registry_disabled" in diagnosed.stdout, diagnosed.stdout + diagnosed.stderr
    planned = remediate(day, "plan")
    assert "admin-cli registry enable" in planned.stdout, planned.stdout + planned.stderr
    assert (status(day), day.release_revision()) == ("disabled", revision)
    applied = remediate(day, "apply", "--deadline-seconds", "60")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert (status(day), day.release_revision()) == ("ready", revision)


def test_a_disable_on_purpose_is_left_alone(day: GameDay) -> None:
    day.registry().disable("production", "llama-2-7b", reason="maintenance", owner="ops")
    try:
        applied = remediate(day, "apply", "--deadline-seconds", "20")
        assert "on purpose" in applied.stdout, applied.stdout + applied.stderr
        assert status(day) == "disabled"
    finally:
        day.registry().enable("production", "llama-2-7b")


def test_apply_raises_the_limit_by_a_helm_upgrade_that_keeps_every_other_value(day: GameDay) -> None:
    before = day.stored_release().user_values
    with day.helm() as helm:
        chart = helm.stored_chart(day.subject.release, day.folder / "chart")
        lowered = {
            **before,
            "resources": {**before["resources"], "limits": {**before["resources"]["limits"], "memory": "96Mi"}},
        }
        helm.upgrade(day.subject.release, chart, lowered)

    def killed() -> bool:
        states = [
            s.get("lastState", {}) for pod in day.observer.pods() for s in pod["status"].get("containerStatuses", [])
        ]
        return any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states)

    wait_for(killed, seconds=30)
    planned = remediate(day, "plan")
    assert "helm upgrade" in planned.stdout, planned.stdout + planned.stderr
    applied = remediate(day, "apply", "--deadline-seconds", "110")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert day.stored_release().user_values == before
    with_deployment = day.observer.wait_until(lambda count: count.whole, timeout_seconds=30)
    assert with_deployment


@pytest.mark.parametrize("verb", ["diagnose", "plan", "apply"])
def test_a_missing_kubeconfig_is_refused_in_one_line(tmp_path: Path, verb: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "remediation.cli", verb, "-r", "x", "-n", "y", "--kubeconfig", str(tmp_path / "nosuch")],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    assert "nosuch" in line


def test_available_needs_every_replica_of_the_current_template() -> None:
    done = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}
    base = {"metadata": {"generation": 2}, "spec": {"replicas": 2}}
    assert available({**base, "status": done})
    for key, value in (("observedGeneration", 1), ("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)):
        assert not available({**base, "status": {**done, key: value}})
