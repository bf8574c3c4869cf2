"""The Job controller: runs pods to completion, with retries, a deadline, and exact counts.

Pods carry a finalizer until they are counted, so that none is counted twice or lost (Kubernetes documentation, "Jobs":
"Job tracking with finalizers").
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers import job_plan
from cluster.embedded.controllers.expectations import Expectations
from cluster.embedded.controllers.job_plan import TRACKING, Counts
from cluster.embedded.controllers.pods import pod_from_template
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import controller_of, controller_reference, has_condition, is_deleted, key_of, now
from cluster.embedded.resources import JOBS, PODS, Object


class JobController:
    """Watches Jobs and their pods."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._jobs, self._pods = informers.of(JOBS), informers.of(PODS)
        self._expectations = Expectations()
        self._recorder = EventRecorder(client, "job-controller")
        self._failures: dict[str, tuple[int, datetime]] = {}
        self._queue = WorkQueue(self.reconcile, name="job-controller")
        self._jobs.add_handler(self._job_changed)
        self._pods.add_handler(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if obj := new or old:
            if new is None:
                self._expectations.forget(key_of(obj))
                self._failures.pop(obj["metadata"]["uid"], None)
            self._queue.add(key_of(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        if pod is None:
            return
        reference = controller_of(pod)
        if reference is None or reference["kind"] != "Job":
            return
        key = pod["metadata"]["namespace"], reference["name"]
        if new is None or is_deleted(new):
            self._expectations.deleted(key, pod["metadata"]["uid"])
        if old is None:
            self._expectations.created(key)
        self._queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Bring one Job closer to its end."""
        job = self._jobs.get(*key)
        if job is None:
            await self._release(self._owned(key, None))
            return
        pods = self._owned(key, job["metadata"]["uid"])
        if job_plan.is_over(job):
            await self._release(pods)
            await self._expire(key, job)
            return
        if is_deleted(job) or not self._expectations.satisfied(key):
            return
        await self._advance(key, job, pods)

    def _owned(self, key: Key, uid: str | None) -> list[Object]:
        owned = []
        for pod in self._pods.in_namespace(key[0]):
            reference = controller_of(pod)
            if reference is None or (reference["kind"], reference["name"]) != ("Job", key[1]):
                continue
            if uid in (None, reference["uid"]):
                owned.append(pod)
        return owned

    async def _advance(self, key: Key, job: Object, pods: list[Object]) -> None:
        moment = datetime.now(UTC)
        counts = job_plan.count(pods)
        self._note_failures(job, counts)
        end = job_plan.verdict(job, counts, moment)
        if end is not None or job["spec"].get("suspend"):
            counts = await self._stop_pods(key, job, counts)
        else:
            counts = await self._adjust(key, job, counts)
        job = await self._write(job, _status(job, counts, end))
        job = await self._settle(job, counts)
        await self._finish(job, counts, end)
        self._look_again(key, job, moment)

    def _note_failures(self, job: Object, counts: Counts) -> None:
        uid = job["metadata"]["uid"]
        if counts.succeeded:
            self._failures.pop(uid, None)
        for pod in counts.failed:
            known = self._failures.get(uid, (0, datetime.min.replace(tzinfo=UTC)))
            self._failures[uid] = known[0] + 1, max(known[1], job_plan.finished_at(pod))

    async def _stop_pods(self, key: Key, job: Object, counts: Counts) -> Counts:
        """Delete all active pods; they count as failed from now on, unless the Job is only suspended."""
        for pod in counts.active:
            await self._delete_pod(key, job, pod)
        ended = [] if job["spec"].get("suspend") else counts.active
        return Counts([], counts.terminating + len(counts.active), 0, counts.succeeded, [*counts.failed, *ended])

    async def _adjust(self, key: Key, job: Object, counts: Counts) -> Counts:
        missing = job_plan.pods_missing(job, counts)
        if missing < 0:
            for pod in counts.active[missing:]:
                await self._delete_pod(key, job, pod)
            return Counts(counts.active[:missing], counts.terminating - missing, 0, counts.succeeded, counts.failed)
        if missing == 0 or counts.failed or self._backs_off(key, job):
            return counts
        created = [await self._create_pod(key, job) for _ in range(missing)]
        return Counts([*counts.active, *created], counts.terminating, counts.ready, counts.succeeded, counts.failed)

    def _backs_off(self, key: Key, job: Object) -> bool:
        failures, last = self._failures.get(job["metadata"]["uid"], (0, None))
        until = job_plan.backoff_ends(failures, last)
        left = (until - datetime.now(UTC)).total_seconds() if until else 0.0
        if left > 0:
            self._queue.add_after(key, left)
        return left > 0

    async def _create_pod(self, key: Key, job: Object) -> Object:
        pod = pod_from_template(job["spec"]["template"], key[1], key[0], controller_reference(job))
        pod["metadata"]["finalizers"] = [*pod["metadata"].get("finalizers", ()), TRACKING]
        self._expectations.expect_creations(key, 1)
        try:
            created = await self._client.create(PODS, pod)
        except ApiError as error:
            self._expectations.created(key)
            self._recorder.event(job, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(job, "Normal", "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        return created

    async def _delete_pod(self, key: Key, job: Object, pod: Object) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        self._expectations.expect_deletions(key, [uid])
        try:
            await self._client.delete(PODS, name, key[0], uid=uid)
        except ApiError as error:
            self._expectations.deleted(key, uid)
            if error.code != 404:
                raise
        self._recorder.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    async def _settle(self, job: Object, counts: Counts) -> Object:
        """Count what ended: first the finalizers go, then the numbers move from uncounted to counted."""
        status = job.get("status") or {}
        if not status.get("uncountedTerminatedPods"):
            return job
        await self._release([*counts.succeeded, *counts.failed])
        counted = {**status, "uncountedTerminatedPods": {}}
        for name, pods in (("succeeded", counts.succeeded), ("failed", counts.failed)):
            if pods:
                counted[name] = status.get(name, 0) + len(pods)
        if has_condition(job, "FailureTarget") and not counts.terminating:
            counted = _with_end(counted, "Failed")
        elif has_condition(job, "SuccessCriteriaMet") and not counts.terminating:
            counted = _with_end(counted, "Complete")
        return await self._write(job, counted)

    async def _finish(self, job: Object, counts: Counts, end: tuple[str, str, str] | None) -> None:
        """The last condition, once no pod is terminating, and its event."""
        if end is None or counts.terminating:
            return
        kind = "Failed" if end[0] == "FailureTarget" else "Complete"
        if not has_condition(job, kind):
            job = await self._write(job, _with_end(job["status"], kind))
        if kind == "Complete":
            self._recorder.event(job, "Normal", "Completed", "Job completed")
        else:
            self._recorder.event(job, "Warning", end[1], end[2])

    async def _release(self, pods: list[Object]) -> None:
        for pod in pods:
            finalizers = pod["metadata"].get("finalizers") or []
            if TRACKING not in finalizers:
                continue
            left = [name for name in finalizers if name != TRACKING]
            try:
                patch = {"metadata": {"finalizers": left or None, "uid": pod["metadata"]["uid"]}}
                await self._client.patch(PODS, pod["metadata"]["name"], patch, pod["metadata"]["namespace"])
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

    async def _expire(self, key: Key, job: Object) -> None:
        """Delete a finished Job after ``ttlSecondsAfterFinished``."""
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None or is_deleted(job):
            return
        ends = [c["lastTransitionTime"] for c in job["status"]["conditions"] if c["type"] in ("Complete", "Failed")]
        left = ttl - (datetime.now(UTC) - datetime.fromisoformat(max(ends))).total_seconds()
        if left > 0:
            self._queue.add_after(key, left)
        else:
            await self._client.delete(JOBS, key[1], key[0], propagation="Background", uid=job["metadata"]["uid"])

    def _look_again(self, key: Key, job: Object, moment: datetime) -> None:
        left = job_plan.seconds_to_deadline(job, moment)
        if left is not None and left > 0 and not job_plan.is_over(job):
            self._queue.add_after(key, left)

    async def _write(self, job: Object, status: dict[str, Any]) -> Object:
        if status == job.get("status"):
            return job
        return await self._client.update(JOBS, {**job, "status": status}, subresource="status")


def _status(job: Object, counts: Counts, end: tuple[str, str, str] | None) -> dict[str, Any]:
    """The status before the ended pods are counted."""
    old = job.get("status") or {}
    status = {key: old[key] for key in ("startTime", "succeeded", "failed", "conditions") if key in old}
    suspended = bool(job["spec"].get("suspend"))
    if not suspended:
        status.setdefault("startTime", now())
    if counts.active:
        status["active"] = len(counts.active)
    status |= {"terminating": counts.terminating, "ready": counts.ready}
    uncounted = {"succeeded": counts.succeeded, "failed": counts.failed}
    status["uncountedTerminatedPods"] = {
        name: [pod["metadata"]["uid"] for pod in pods] for name, pods in uncounted.items() if pods
    }
    conditions = [dict(c) for c in status.get("conditions") or []]
    if end is not None and not has_condition(job, end[0]):
        conditions.append(_condition(*end))
    if suspended != has_condition(job, "Suspended") and (suspended or conditions):
        conditions = [c for c in conditions if c["type"] != "Suspended"]
        words = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
        conditions.append({**_condition("Suspended", *words), "status": "True" if suspended else "False"})
    if conditions:
        status["conditions"] = conditions
    return status


def _with_end(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """The status with the final condition: same reason as the one that announced it."""
    announced = "FailureTarget" if kind == "Failed" else "SuccessCriteriaMet"
    first = next(c for c in status["conditions"] if c["type"] == announced)
    ended = {**status, "conditions": [*status["conditions"], _condition(kind, first["reason"], first["message"])]}
    if kind == "Complete":
        ended["completionTime"] = now()
    return ended


def _condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    times = {"lastProbeTime": now(), "lastTransitionTime": now()}
    return {"type": kind, "status": "True", **times, "reason": reason, "message": message}
