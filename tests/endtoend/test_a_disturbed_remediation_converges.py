"""Whatever is done to the remediation (killed between two changes, run twice, refused, delayed, cut off from its
watches), the service ends up well, and nothing was done twice that must not be.

`GAMEDAY_CRASH_POINTS=all` (make crashpoints) tries every point; otherwise a few of each scenario are tried.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.kube import KubeClient
from gameday.intercept.calls import Call
from gameday.intercept.gate import Gate
from gameday.intercept.proxy import Disturbance
from gameday.session import GameDay
from remediation.ledger import Ledger
from remediation.policy import Policy
from tests.endtoend.days import running_day
from tests.endtoend.harness import environment

pytestmark = [pytest.mark.cluster, pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(900)]

EVERY_POINT = os.environ.get("GAMEDAY_CRASH_POINTS") == "all"
BOOKKEEPING = ("leases", "configmaps")
QUICK = """\
settling_seconds: 1
traffic_window_seconds: 2
confirm_seconds: 1
validate_timeout_seconds: 30
rollout_timeout_seconds: 60
lease_seconds: 1
hourly_limits: {upgrades: 100, rollbacks: 100, restarts: 100, scales: 100, registrations: 100}
"""


@dataclass
class Failure:
    """A failure to inject by hand, and what must be true in the end."""

    inject: Callable[[GameDay], None]
    repaired: Callable[[GameDay], bool]


def disable(day: GameDay) -> None:
    day.registry().disable("production", day.subject.model)


def enabled(day: GameDay) -> bool:
    entry = day.registry().get("production", day.subject.model)
    return entry is not None and entry.ready


FAILURES = {
    "registry_disabled": Failure(disable, enabled),
}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GameDay]:
    with pytest.MonkeyPatch.context() as patch, running_day(tmp_path_factory.mktemp("disturbed")) as day:
        patch.setenv("KUBECONFIG", str(day.cluster.kubeconfig))  # the experiments' own access
        (day.folder / "policy.yaml").write_text(QUICK)
        yield day


@pytest.fixture
def failure(day: GameDay, request: pytest.FixtureRequest) -> Failure:
    """The failure, injected into a service that is well."""
    failure = FAILURES[request.param]
    assert day.observer.wait_until(lambda count: count.whole, timeout_seconds=60)
    day.forget_remediation()
    failure.inject(day)
    return failure


class Remediate:
    """`remediate apply` in a process of its own, behind a gate of its own."""

    def __init__(self, day: GameDay, disturb: Callable[[Call], Disturbance | None] = lambda _: None) -> None:
        self.changes: list[Call] = []
        self.at_change: Callable[[int], None] = lambda _: None
        self.gate = Gate(day.cluster.kubeconfig, day.subject.namespace, self._told, disturb)
        self.gate.open()
        target = self.gate.through(day.remediation_target())
        self._output = (day.folder / f"remediate-{time.monotonic_ns()}.log").open("w+")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "remediation.cli", "apply"),
                *("--release", day.subject.release, "-n", day.subject.namespace),
                *("--kubeconfig", str(self.gate.kubeconfig), "--policy", str(day.folder / "policy.yaml")),
                *("--registry-url", target.registry_url, "--router-url", target.router_url),
                *("--deadline-seconds", "90"),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def kill_at(self, number: int) -> None:
        """Kill it as soon as its change with that number (from 1) has been carried out."""

        def kill(change: int) -> None:
            if change == number:
                self.process.send_signal(signal.SIGKILL)

        self.at_change = kill

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(timeout=120)
        finally:
            self.process.kill()
            self.gate.close()
            self._output.close()

    @property
    def output(self) -> str:
        return Path(self._output.name).read_text()

    def _told(self, call: Call) -> None:
        """Its own records are no changes of anybody's service: the ledger is written beside each change."""
        if call.writes and call.succeeded and call.resource not in BOOKKEEPING and call.surface != "router":
            self.changes.append(call)
            self.at_change(len(self.changes))


def remediated(day: GameDay, **options: Callable[[Call], Disturbance | None]) -> Remediate:
    """One remediation from beginning to end; it must succeed."""
    run = Remediate(day, **options)
    assert run.wait() == 0, run.output
    return run


def well(day: GameDay, failure: Failure) -> None:
    """The service is as it must be in the end, and nothing temporary is left."""
    assert failure.repaired(day)
    assert day.observer.wait_until(lambda count: count.whole, timeout_seconds=30)
    assert day.router().complete(day.subject.model).ok
    assert day.stored_release().status == "deployed"


def points(changes: int) -> list[int]:
    every = list(range(1, changes + 1))
    return every if EVERY_POINT else sorted({every[0], every[len(every) // 2], every[-1]})


@pytest.mark.parametrize(("failure", "name"), [("registry_disabled", "registry_disabled")], indirect=["failure"])
def test_killed_after_any_change_the_next_one_brings_it_to_the_same_end(day, failure, name) -> None:
    kube = KubeClient(day.cluster.kubeconfig)
    undisturbed = remediated(day)
    well(day, failure)
    assert undisturbed.changes
    for number in points(len(undisturbed.changes)):
        day.forget_remediation()
        failure.inject(day)
        killed = Remediate(day)
        killed.kill_at(number)
        assert killed.wait() == -signal.SIGKILL, killed.output
        again = remediated(day)
        well(day, failure)
        done = [*killed.changes, *again.changes]
        assert sum(c.path.endswith("/enable") for c in done) <= 1, "a model is enabled once"
        ledger = Ledger(kube, day.subject.namespace, day.subject.release, Policy())
        assert sum(e.state == "started" for e in ledger.entries()) <= 1, "only what was cut off has no end"


@pytest.mark.parametrize("failure", ["registry_disabled"], indirect=True)
def test_two_at_once_do_the_work_of_one(day: GameDay, failure: Failure) -> None:
    runs = [Remediate(day), Remediate(day)]
    assert [run.wait() for run in runs] == [0, 0], [run.output for run in runs]
    well(day, failure)
    changes = [change for run in runs for change in run.changes]
    assert sum(change.path.endswith("/enable") for change in changes) == 1
    assert sum(change.method == "DELETE" for change in changes) == 1


class Unfriendly:
    """Refuses some calls and cuts some watches, by turns."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._lock = threading.Lock()
        self._seen = 0
        self.disturbed = 0

    def __call__(self, call: Call) -> Disturbance | None:
        with self._lock:
            self._seen += 1
            turn = self._seen
        if call.verb == "watch":
            return self._count(Disturbance(cut_after_bytes=1))
        if turn % 7 == 0:
            return self._count(Disturbance(status=self._status) if self._status else Disturbance(delay_seconds=0.5))
        return None

    def _count(self, disturbance: Disturbance) -> Disturbance:
        self.disturbed += 1
        return disturbance


@pytest.mark.parametrize("failure", ["registry_disabled"], indirect=True)
@pytest.mark.parametrize("status", [0, 409, 429, 500])
def test_refused_delayed_and_cut_off_it_still_ends_well(day: GameDay, failure: Failure, status: int) -> None:
    unfriendly = Unfriendly(status)
    run = Remediate(day, unfriendly)
    run.wait()
    assert unfriendly.disturbed > 3
    if not failure.repaired(day):  # it may give up and say so; the next one, undisturbed, must find nothing broken
        assert "escalated" in run.output or "failed" in run.output, run.output
        remediated(day)
    well(day, failure)
