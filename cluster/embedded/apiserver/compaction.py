"""Forgetting old revisions, as an API server makes etcd do (``--etcd-compaction-interval``)."""

from __future__ import annotations

import asyncio

from cluster.embedded.store import Store

INTERVAL_SECONDS = 300.0


async def keep_compacting(store: Store, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Compact to the revision of one interval ago, again and again, until cancelled."""
    then = store.version
    while True:
        await asyncio.sleep(interval_seconds)
        store.compact(then)
        then = store.version
