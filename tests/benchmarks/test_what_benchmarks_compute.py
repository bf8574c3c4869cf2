"""What benchmarks make of raw samples and values."""

from __future__ import annotations

import pytest

from benchmarks.install import floor
from benchmarks.load_fidelity import fidelity
from benchmarks.platform import SUBJECT
from gameday.session import values_of
from load.samples import Outcome, Sample


def _sample(number: int, lag_seconds: float, outcome: Outcome = "ok") -> Sample:
    return Sample(number, "chat", False, 10.0, 10.0 + lag_seconds, None, 11.0, 200, outcome)


def test_fidelity_is_of_every_request_of_the_schedule() -> None:
    found = fidelity([_sample(4, 0.5), _sample(0, 0.0), _sample(1, 0.01, "timeout")])
    assert found.offered == 5
    assert found.punctual == pytest.approx(2 / 5)
    assert found.succeeded == pytest.approx(2 / 5)
    assert found.lag_max == pytest.approx(0.5)
    assert found.outcomes == {"ok": 2, "timeout": 1}


def test_the_floor_of_an_install_is_the_load_and_a_period_of_each_probe() -> None:
    probe = {"periodSeconds": 2}
    env = [{"name": "MOCK_VLLM_LOAD_SECONDS", "value": "1.5"}, {"name": "OTHER", "valueFrom": {}}]
    found = floor({"vllm": {"env": env}, "startupProbe": probe, "readinessProbe": {"periodSeconds": 3}})
    assert (found.load_seconds, found.startup_seconds, found.readiness_seconds) == (1.5, 2, 3)
    assert found.seconds == 6.5


def test_the_charts_values_state_the_floor() -> None:
    assert floor(values_of(SUBJECT.values)).seconds > 0
