"""The Job controller: runs pods until enough of them succeeded, and counts every pod once.

See "Jobs" in the Kubernetes documentation, and its enhancement 2307 for the finalizer that keeps an ended pod until
it is counted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers import job_status
from cluster.embedded.controllers.expectations import Expectations, Writes
from cluster.embedded.controllers.job_pods import (
    TRACKING_FINALIZER,
    FailureRecord,
    Tally,
    is_tracked,
    new_pod,
    tally_of,
)
from cluster.embedded.controllers.job_status import Outcome
from cluster.embedded.controllers.ownership import candidates, claim, controller_uid_of
from cluster.embedded.controllers.pods import is_ready, to_delete
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import controller_of, is_deleted, key_of
from cluster.embedded.resources import JOBS, PODS, Object

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Round:
    """One reconcile of one Job.

    Attributes:
        removed: active pods that this round deleted.
        refusal: what the API refused, to be raised once the status is written.
    """

    key: Key
    job: Object
    tally: Tally
    status: Object
    record: FailureRecord
    removed: list[Object] = field(default_factory=list)
    created: int = 0
    refusal: ApiError | None = None

    @property
    def active(self) -> int:
        return len(self.tally.active) - len(self.removed) + self.created

    def count(self) -> None:
        """Put the counts of living pods into the status."""
        ready = self.tally.ready - sum(is_ready(pod) for pod in self.removed)
        job_status.set_counts(self.status, self.active, ready, self.tally.terminating + len(self.removed))


class JobController:
    """Watches Jobs and pods; creates, deletes and counts pods.

    Args:
        client: the API.
        informers: shared ones.
        batch_seconds: how long changes of pods are collected before a Job looks at them.
    """

    def __init__(self, client: ApiClient, informers: Informers, batch_seconds: float = 1.0) -> None:
        self._client = client
        self._batch_seconds = batch_seconds
        self._jobs, self._pods = informers.of(JOBS), informers.of(PODS)
        self._expectations = Expectations()
        self._writes = Writes(self._jobs)
        self._records: dict[str, FailureRecord] = {}
        self._released: set[str] = set()
        self._recorder = EventRecorder(client, "job-controller")
        self._queue = WorkQueue(self.reconcile, name="job-controller")
        self._jobs.add_handler(self._job_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            self._expectations.forget(key_of(old))
            self._writes.deleted(key_of(old), key_of(old))
            self._records.pop(old["metadata"]["uid"], None)
        if obj := new or old:
            same_spec = old and new and old["metadata"].get("generation") == new["metadata"].get("generation")
            self._enqueue(key_of(obj), self._batch_seconds if same_spec else 0)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        latest = new or old
        if latest is None:
            return
        uid = latest["metadata"]["uid"]
        if new is None or not is_tracked(new):
            self._released.discard(uid)
        reference = controller_of(latest)
        if reference is None or reference["kind"] != "Job":
            return
        owner = latest["metadata"]["namespace"], reference["name"]
        if new is None or is_deleted(new):
            self._expectations.deleted(owner, uid)
        if old is None:
            self._expectations.created(owner)
        self._enqueue(owner, self._batch_seconds)

    def _enqueue(self, key: Key, seconds: float) -> None:
        if seconds > 0:
            self._queue.add_after(key, seconds)
        else:
            self._queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Bring one Job closer to its end."""
        job = self._jobs.get(*key)
        if job is None or job_status.is_over(job):
            await self._let_go(key, job)
            return
        if job["spec"].get("completionMode") == "Indexed":
            log.warning("job-controller: %s/%s: completionMode Indexed is not supported, the Job is left alone", *key)
            return
        if not self._expectations.satisfied(key) or not self._writes.seen(key):
            return  # a stale cache would be counted wrongly; what it lacks comes back here
        round_ = await self._look(key, job)
        outcome = await self._act(round_)
        round_.count()
        await self._write(round_, outcome)
        if round_.refusal is not None:
            raise round_.refusal

    async def _look(self, key: Key, job: Object) -> _Round:
        pods = await claim(self._client, (JOBS, job), PODS, candidates(self._pods.index(controller_uid_of), job))
        tally = tally_of(job, pods, self._released)
        status = job_status.base_status(job)
        job_status.settle(status, tally.tracked)
        waiting = status["uncountedTerminatedPods"]
        counted = {uid for kind in ("succeeded", "failed") for uid in waiting.get(kind) or []}
        record = self._records.get(job["metadata"]["uid"], FailureRecord()).after(tally, counted)
        return _Round(key, job, tally, status, record)

    async def _act(self, round_: _Round) -> Outcome | None:
        """Create and delete pods; returns how the Job ends, once it is known and its pods are told to go."""
        job, status, tally = round_.job, round_.status, round_.tally
        outcome = job_status.outcome_said(job) or job_status.failure_of(job, status, tally)
        if outcome is not None:
            await self._delete(round_, tally.active)
            return outcome if round_.refusal is None else None
        if left := job_status.seconds_to_deadline(job, status):
            self._queue.add_after(round_.key, left)
        if is_deleted(job):
            return None
        await self._scale(round_)
        outcome = job_status.success_of(job, status, tally, round_.active)
        if outcome is None and (event := job_status.note_suspension(job, status)):
            self._recorder.event(job, "Normal", *event)
        return outcome

    async def _scale(self, round_: _Round) -> None:
        spec, tally = round_.job["spec"], round_.tally
        patient = spec.get("podReplacementPolicy") == "Failed"
        active = len(tally.active)
        missing = job_status.wanted(round_.job, round_.status, tally) - active
        if missing < 0:
            surplus = to_delete(tally.active, -missing, tally.active)
            for pod in surplus:  # not for a failure: it must not be counted as one
                await self._release(pod)
            await self._delete(round_, surplus)
            return
        missing -= tally.terminating if patient else 0
        if missing > 0 and (wait := round_.record.seconds_left()):
            self._queue.add_after(round_.key, wait)
        elif missing > 0:
            await self._create(round_, missing)

    async def _create(self, round_: _Round, count: int) -> None:
        pod = new_pod(round_.job)
        self._expectations.expect_creations(round_.key, count)
        for done in range(count):
            try:
                created = await self._client.create(PODS, pod)
            except ApiError as error:
                for _ in range(count - done):
                    self._expectations.created(round_.key)
                self._recorder.event(round_.job, "Warning", "FailedCreate", f"Error creating: {error}")
                round_.refusal = error
                return
            round_.created += 1
            text = f"Created pod: {created['metadata']['name']}"
            self._recorder.event(round_.job, "Normal", "SuccessfulCreate", text)

    async def _delete(self, round_: _Round, pods: list[Object]) -> None:
        self._expectations.expect_deletions(round_.key, [pod["metadata"]["uid"] for pod in pods])
        for pod in pods:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            try:
                await self._client.delete(PODS, name, round_.key[0], uid=uid)
            except ApiError as error:
                self._expectations.deleted(round_.key, uid)
                if error.code != 404:
                    self._recorder.event(round_.job, "Warning", "FailedDelete", f"Error deleting: {error}")
                    round_.refusal = error
                    continue
            else:
                self._recorder.event(round_.job, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
            round_.removed.append(pod)

    async def _write(self, round_: _Round, outcome: Outcome | None) -> None:
        """Note who ended, let these pods go, count them: in this order, so that a crash loses and doubles nothing."""
        status, tally = round_.status, round_.tally
        failed = outcome is not None and outcome.failed
        removed = [pod["metadata"]["uid"] for pod in round_.removed] if failed else []
        job_status.note_uncounted(status, tally, removed)
        if outcome is not None:
            job_status.announce(status, outcome)
        job = await self._write_status(round_.job, status)
        self._records[job["metadata"]["uid"]] = round_.record
        waiting = status["uncountedTerminatedPods"]
        for uid in [uid for kind in ("succeeded", "failed") for uid in waiting.get(kind) or []]:
            await self._release(tally.tracked[uid])
        status = job_status.base_status(job)
        job_status.settle(status, ())
        over = outcome is not None and not status.get("terminating")
        if outcome is not None and over:
            job_status.conclude(status, outcome)
        await self._write_status(job, status)
        if outcome is not None and over:
            self._tell(job, outcome)

    def _tell(self, job: Object, outcome: Outcome) -> None:
        if outcome.failed:
            self._recorder.event(job, "Warning", outcome.reason, outcome.message)
        else:
            self._recorder.event(job, "Normal", "Completed", "Job completed")

    async def _write_status(self, job: Object, status: Object) -> Object:
        if status == (job.get("status") or {}):
            return job
        written = await self._client.update(JOBS, {**job, "status": status}, subresource="status")
        self._writes.wrote(key_of(job), written)
        return written

    async def _let_go(self, key: Key, job: Object | None) -> None:
        """Take the finalizer off the pods of a Job that is over or gone: nobody will count them."""
        uid = job["metadata"]["uid"] if job else ""
        for pod in self._pods.in_namespace(key[0]):
            reference = controller_of(pod)
            if reference is None or (reference["kind"], reference["name"]) != ("Job", key[1]):
                continue
            if is_tracked(pod) and (job is None or reference["uid"] == uid):
                await self._release(pod)

    async def _release(self, pod: Object) -> None:
        """Take the tracking finalizer off, if it is there."""
        if not is_tracked(pod) or pod["metadata"]["uid"] in self._released:
            return
        namespace, name = key_of(pod)
        try:
            live = await self._client.get(PODS, name, namespace)
            if live["metadata"]["uid"] == pod["metadata"]["uid"] and is_tracked(live):
                kept = [entry for entry in live["metadata"]["finalizers"] if entry != TRACKING_FINALIZER]
                version = live["metadata"]["resourceVersion"]
                patch = {"metadata": {"finalizers": kept or None, "resourceVersion": version}}
                await self._client.patch(PODS, name, patch, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
        self._released.add(pod["metadata"]["uid"])
