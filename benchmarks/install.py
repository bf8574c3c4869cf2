"""How long both charts take from `helm install` to all pods Ready, beyond what the model and the probes must take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.platform import SUBJECT, installed_platform
from benchmarks.result import Benchmark, Result, Target
from benchmarks.statistics import median
from gameday.session import values_of


@dataclass(frozen=True, slots=True)
class Floor:
    """Seconds that no cluster can save: the model's load, and one period of the probes that must succeed after it."""

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
            "install to all pods Ready, beyond the floor",
            "s",
            tuple(seconds - least.seconds for seconds in ready),
            Target("under", 3.0),
            details=(
                f"floor {least.seconds:g} s = model load {least.load_seconds:g} s + startup probe period "
                f"{least.startup_seconds:g} s + readiness probe period {least.readiness_seconds:g} s",
                f"in total {median(ready):.2f} s, of it the two `helm install` {median(helm):.2f} s; beyond the load "
                f"of the model alone, with nothing allowed for probes, {median(ready) - least.load_seconds:.2f} s",
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
