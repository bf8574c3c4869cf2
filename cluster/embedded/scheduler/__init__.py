"""Binds pods to nodes, as kube-scheduler does."""

from __future__ import annotations

from cluster.embedded.client import ApiClient
from cluster.embedded.scheduler.loop import Scheduler


async def run_scheduler(client: ApiClient) -> None:
    """Schedule pods until cancelled."""
    await Scheduler(client).run()


__all__ = ["run_scheduler"]
