"""Places pods on nodes by requests, selectors and taints."""

from cluster.embedded.scheduler.scheduler import run_scheduler

__all__ = ["run_scheduler"]
