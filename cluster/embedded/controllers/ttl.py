"""The TTL-after-finished controller: deletes Jobs some time after they ended. See ``ttlSecondsAfterFinished``."""

from __future__ import annotations

from cluster.embedded.client import ApiClient
from cluster.embedded.controllers.job_status import ended_at
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import is_deleted, key_of, seconds_since
from cluster.embedded.resources import JOBS, Object


class TtlController:
    """Watches Jobs; deletes those whose time is over, with their pods."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._jobs = informers.of(JOBS)
        self._queue = WorkQueue(self.reconcile, name="ttl-after-finished-controller")
        self._jobs.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("ttlSecondsAfterFinished") is not None:
            self._queue.add(key_of(new))

    async def reconcile(self, key: Key) -> None:
        """Delete one Job when its time is over, or look again then."""
        job = self._jobs.get(*key)
        if job is None or is_deleted(job):
            return
        ttl, ended = job["spec"].get("ttlSecondsAfterFinished"), ended_at(job)
        if ttl is None or ended is None:
            return
        left = int(ttl) - seconds_since(ended)
        if left > 0:
            self._queue.add_after(key, left)
        else:
            await self._client.delete(JOBS, key[1], key[0], propagation="Foreground", uid=job["metadata"]["uid"])
