"""The numbers that the remediation is allowed to act on. Defaults are the runbook's and the platform's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Thresholds, windows and guard rails. Durations in seconds, rates as ratios 0-1.

    Attributes:
        settling_seconds: how long a pod must be Ready without a restart to count as stable.
        traffic_window_seconds: window of the error rate and of P95.
        minimum_window_seconds: how long a decision waits for a second look at traffic when there was but one so far.
        memory_factor: a limit that was exceeded is multiplied by this.
        p95_limit_seconds: latency above it counts as the middle error band of the matrix.
        p95_baseline_factor: the same for latency above this multiple of the baseline.
        slo_error_rate, slo_p95_seconds: what validation demands.
        confirm_seconds: how long a finding without proof of its own must persist before it is acted on.
        max_actions: actions that change something in one remediation; more are refused.
        max_rounds: how often a remediation may diagnose anew after an action did not hold.
    """

    settling_seconds: float = 10.0
    traffic_window_seconds: float = 10.0
    minimum_window_seconds: float = 1.0
    poll_seconds: float = 0.5
    memory_factor: float = 2.0
    p95_limit_seconds: float = 6.0
    p95_baseline_factor: float = 2.0
    baseline_p95_seconds: float | None = None
    slo_error_rate: float = 0.001
    slo_p95_seconds: float = 3.0
    completion_timeout_seconds: float = 10.0
    rollout_timeout_seconds: float = 1500.0
    validate_timeout_seconds: float = 300.0
    probe_requests: int = 3
    confirm_seconds: float = 5.0
    max_actions: int = 10
    max_rounds: int = 2
