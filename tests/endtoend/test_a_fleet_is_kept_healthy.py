"""`remediate watch` repairs whatever release of a label breaks, in any namespace, and leaves the others alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.helm import HelmClient
from experiments.pods import all_ready
from experiments.release import set_values
from gameday.session import GameDay, values_of
from tests.endtoend.days import running_day
from tests.endtoend.harness import environment, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(300)]

POLICY = """\
settling_seconds: 1
traffic_window_seconds: 2
confirm_seconds: 1
lease_seconds: 1
"""
OTHER = "team-b"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GameDay]:
    """The usual release in one namespace, and one without router and registry in another."""
    with pytest.MonkeyPatch.context() as patch, running_day(tmp_path_factory.mktemp("fleet")) as day:
        patch.setenv("KUBECONFIG", str(day.cluster.kubeconfig))
        with HelmClient(OTHER, day.cluster.kubeconfig) as helm:
            values = {**values_of(day.subject.values), "replicaCount": 1}
            helm.install("small", day.subject.chart, values, create_namespace=True)
        assert all_ready("small", OTHER, 60)
        yield day


class Watching:
    """`remediate watch` in a process of its own, and everything it has said."""

    def __init__(self, day: GameDay, policy: Path) -> None:
        policy.write_text(POLICY)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-u", "-m", "remediation.cli", "watch"),
                *("-l", "app.kubernetes.io/name=vllm-deployment"),
                *("--kubeconfig", str(day.cluster.kubeconfig), "--policy", str(policy)),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip() for line in self.process.stdout)

    def said(self, text: str) -> bool:
        return any(text in line for line in list(self.lines))


@pytest.fixture
def watching(day: GameDay, tmp_path: Path) -> Iterator[Watching]:
    watching = Watching(day, tmp_path / "policy.yaml")
    yield watching
    watching.process.kill()
    watching.process.wait()


def test_each_release_is_repaired_in_its_namespace_and_ctrl_c_ends_it(day: GameDay, watching: Watching) -> None:
    day.registry().disable("production", day.subject.model)
    wait_for(lambda: watching.said(f"system/{day.subject.release}: repaired"), seconds=60)
    entry = day.registry().get("production", day.subject.model)
    assert entry is not None
    assert entry.ready

    before = day.release_revision()
    set_values("small", OTHER, {"resources": {"limits": {"memory": "96Mi"}}}, "fleet")
    wait_for(lambda: watching.said(f"{OTHER}/small: repaired"), seconds=90)
    assert all_ready("small", OTHER, 30)
    assert day.release_revision() == before, "the other release was not touched"

    watching.process.send_signal(signal.SIGINT)
    assert watching.process.wait(timeout=30) == 0, watching.lines
