"""How long both charts take from `helm install` to all pods Ready, next to what the model and the probes take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.platform import SUBJECT, installed_platform
from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median
from gameday.session import values_of

ALLOWED_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Floor:
    """Seconds that are not the cluster's: the model's load, and a period of each probe that must succeed after it."""

    load_seconds: float
    startup_seconds: float
    readiness_seconds: float

    @property
    def seconds(self) -> float:
        """All together."""
        return self.load_seconds + self.startup_seconds + self.readiness_seconds


def floor(values: dict[str, Any]) -> Floor:
    """The floor that the values of the vLLM chart set. Raises KeyError when a value is missing."""
    environment = {item["name"]: item.get("value") for item in values["vllm"]["env"]}
    return Floor(
        load_seconds=float(environment["MOCK_VLLM_LOAD_SECONDS"]),
        startup_seconds=float(values["startupProbe"]["periodSeconds"]),
        readiness_seconds=float(values["readinessProbe"]["periodSeconds"]),
    )


def measure(runs: int) -> list[Result]:
    """Install into a new cluster each time. Raises GamedayError when the pods do not become ready."""
    least = floor(values_of(SUBJECT.values))
    helm, ready = [], []
    for _ in range(runs):
        with installed_platform() as platform:
            helm.append(platform.helm_seconds)
            ready.append(platform.ready_seconds)
    return [
        Result(
            "install to all pods Ready",
            "s",
            tuple(ready),
            Target("under", ALLOWED_SECONDS + least.seconds),
            details=(
                f"target: {ALLOWED_SECONDS:g} s beyond {least.seconds:g} s = model load {least.load_seconds:g} s "
                f"+ startup probe period {least.startup_seconds:g} s + readiness probe period "
                f"{least.readiness_seconds:g} s; a probe that happens to come early takes less than its period",
                f"the two `helm install` {median(helm):.2f} s; beyond the load of the model alone, with nothing "
                f"allowed for probes, {median(ready) - least.load_seconds:.2f} s",
            ),
        )
    ]


BENCHMARK = Benchmark(
    "install",
    "both charts with their game day values into a new embedded cluster by the Helm engine, 6 pods, until every "
    "Deployment is available",
    5,
    measure,
)
