"""A Job runs pods until enough succeeded, counts each once, and says how it ended as a real cluster does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from cluster.embedded.client import ApiError
from cluster.embedded.controllers.job_pods import TRACKING_FINALIZER, FailureRecord
from cluster.embedded.meta import condition_of, has_condition, now
from cluster.embedded.resources import EVENTS, JOBS, PODS, Object
from tests.cluster.controllers.world import NAMESPACE, World, run


def job(name: str = "work", restart: str = "Never", **spec: Any) -> Object:
    pod_spec = {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"template": {"spec": pod_spec}, **spec},
    }


async def look(world: World) -> Object:
    return await world.client.get(JOBS, "work", NAMESPACE)


async def ended(world: World, kind: str) -> Object:
    async def there() -> bool:
        return has_condition(await look(world), kind)

    await world.until(there)
    await world.quiet()
    return await look(world)


async def told(world: World) -> list[tuple[str, str, str, str]]:
    """(type, reason, message, component) of the Job's events, in their order; the pods' names are put as POD."""
    await world.quiet()
    events = [e for e in (await world.client.list(EVENTS)).items if e["involvedObject"]["kind"] == "Job"]
    events.sort(key=lambda e: e["metadata"]["name"].rsplit(".")[-1])
    return [
        (e["type"], e["reason"], e["message"].split(": work-")[0], e["source"]["component"])
        for e in events
        for _ in range(e["count"])
    ]


def conditions(obj: Object) -> list[tuple[str, str, str, str]]:
    return [(c["type"], c["status"], c["reason"], c["message"]) for c in obj["status"]["conditions"]]


CREATED = ("Normal", "SuccessfulCreate", "Created pod", "job-controller")
DELETED = ("Normal", "SuccessfulDelete", "Deleted pod", "job-controller")
BACKOFF = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")


def test_a_job_completes_as_recorded() -> None:
    async def body(world: World) -> None:
        world.kubelet.ends = lambda pod: "Succeeded"
        await world.create(JOBS, job())
        done = await ended(world, "Complete")
        reached = ("True", "CompletionsReached", "Reached expected number of succeeded pods")
        assert conditions(done) == [("SuccessCriteriaMet", *reached), ("Complete", *reached)]
        kept = {key: value for key, value in done["status"].items() if key not in ("conditions", "startTime")}
        finished = kept.pop("completionTime")
        assert finished >= done["status"]["startTime"]
        assert kept == {"succeeded": 1, "terminating": 0, "ready": 0, "uncountedTerminatedPods": {}}
        assert await told(world) == [CREATED, ("Normal", "Completed", "Job completed", "job-controller")]

    run(body)


def test_its_pods_are_labelled_owned_and_tracked_until_they_are_counted() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job())
        await world.quiet()
        (pod,) = await world.pods()
        owner = await look(world)
        uid = owner["metadata"]["uid"]
        assert pod["metadata"]["finalizers"] == [TRACKING_FINALIZER]
        assert pod["metadata"]["generateName"] == "work-"
        assert pod["metadata"]["labels"] == {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "work",
            "controller-uid": uid,
            "job-name": "work",
        }
        assert [ref["uid"] for ref in pod["metadata"]["ownerReferences"]] == [uid]
        assert {k: v for k, v in owner["status"].items() if k != "startTime"} == {
            "active": 1,
            "ready": 1,
            "terminating": 0,
            "uncountedTerminatedPods": {},
        }
        await world.kubelet.end(pod, "Succeeded")
        await ended(world, "Complete")
        (pod,) = await world.pods()
        assert "finalizers" not in pod["metadata"]

    run(body)


@pytest.mark.parametrize("lag", [0, 7])
def test_a_job_that_fails_too_often_is_failed_and_counts_every_pod_once(lag: int) -> None:
    async def body(world: World) -> None:
        world.kubelet.ends = lambda pod: "Failed"
        await world.create(JOBS, job(backoffLimit=2))
        failed = await ended(world, "Failed")
        assert conditions(failed) == [("FailureTarget", "True", *BACKOFF), ("Failed", "True", *BACKOFF)]
        assert failed["status"]["failed"] == 3
        assert "completionTime" not in failed["status"]
        assert len(await world.pods()) == 3
        assert await told(world) == [CREATED] * 3 + [("Warning", *BACKOFF, "job-controller")]

    run(body, lag=lag)


def test_a_job_that_is_seen_late_does_not_get_too_many_pods() -> None:
    async def body(world: World) -> None:
        world.client.turns_of[JOBS] = 60
        world.kubelet.ends = lambda pod: "Succeeded"
        await world.create(JOBS, job(parallelism=1, completions=5))
        done = await ended(world, "Complete")
        assert done["status"]["succeeded"] == len(await world.pods()) == 5

    run(body)


def test_the_next_pod_waits_for_the_back_off() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job())
        await world.quiet()
        (pod,) = await world.pods()
        await world.kubelet.end(pod, "Failed", at=now())
        await world.quiet()
        assert len(await world.pods()) == 1
        assert (await look(world))["status"]["failed"] == 1

    run(body)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 10), (2, 20), (3, 40), (7, 600), (50, 600)])
def test_the_back_off_doubles(failures: int, seconds: float) -> None:
    assert FailureRecord(failures, now()).seconds_left() == pytest.approx(seconds, abs=1.1)


def test_containers_that_restart_too_often_fail_the_job_and_its_pod_goes() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job(restart="OnFailure", backoffLimit=2))
        await world.quiet()
        (pod,) = await world.pods()
        world.kubelet.stops = lambda pod: False
        container = {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 2}
        status = {**pod["status"], "containerStatuses": [container]}
        await world.client.update(PODS, {**pod, "status": status}, subresource="status")
        announced = await ended(world, "FailureTarget")
        assert conditions(announced) == [("FailureTarget", "True", *BACKOFF)]
        assert (announced["status"]["failed"], announced["status"]["terminating"]) == (1, 1)
        world.kubelet.stops = lambda pod: True
        world.kubelet.look_again()
        failed = await ended(world, "Failed")
        assert (failed["status"]["failed"], failed["status"]["terminating"]) == (1, 0)
        assert await told(world) == [CREATED, DELETED, ("Warning", *BACKOFF, "job-controller")]
        assert await world.pods() == []

    run(body)


def test_a_deadline_ends_the_job() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job(activeDeadlineSeconds=1))
        failed = await ended(world, "Failed")
        text = ("DeadlineExceeded", "Job was active longer than specified deadline")
        assert conditions(failed) == [("FailureTarget", "True", *text), ("Failed", "True", *text)]
        assert failed["status"]["failed"] == 1
        assert await told(world) == [CREATED, DELETED, ("Warning", *text, "job-controller")]

    run(body)


@pytest.mark.parametrize("lag", [0, 7])
def test_never_more_pods_at_a_time_than_parallelism_nor_more_successes_than_completions(lag: int) -> None:
    async def body(world: World) -> None:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, sum(p["status"]["phase"] in ("Pending", "Running") for p in await world.pods()))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        world.kubelet.ends = lambda pod: "Succeeded"
        await world.create(JOBS, job(parallelism=3, completions=7))
        done = await ended(world, "Complete")
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert done["status"]["succeeded"] == len(await world.pods()) == 7
        assert most == 3

    run(body, lag=lag)


def test_a_suspended_job_has_no_pods_until_it_is_resumed() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job(suspend=True))
        await world.quiet()
        assert await world.pods() == []
        assert conditions(await look(world)) == [("Suspended", "True", "JobSuspended", "Job suspended")]
        assert "startTime" not in (await look(world))["status"]
        await world.client.patch(JOBS, "work", {"spec": {"suspend": False}}, NAMESPACE)
        await world.quiet()
        assert len(await world.pods()) == 1
        assert conditions(await look(world)) == [("Suspended", "False", "JobResumed", "Job resumed")]
        await world.client.patch(JOBS, "work", {"spec": {"suspend": True}}, NAMESPACE)
        await world.quiet()
        assert await world.pods() == []
        assert (await look(world))["status"].get("failed", 0) == 0
        assert sorted(event[1:3] for event in await told(world)) == [
            ("Resumed", "Job resumed"),
            ("SuccessfulCreate", "Created pod"),
            ("SuccessfulDelete", "Deleted pod"),
            ("Suspended", "Job suspended"),
            ("Suspended", "Job suspended"),
        ]

    run(body)


def test_a_pod_that_somebody_deletes_counts_as_failed_and_is_let_go() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job())
        await world.quiet()
        (pod,) = await world.pods()
        await world.client.delete(PODS, pod["metadata"]["name"], NAMESPACE)
        await world.quiet()
        assert (await look(world))["status"]["failed"] == 1
        assert await world.pods() == []  # its replacement waits for the back-off

    run(body)


def test_a_deleted_job_leaves_no_pod_behind() -> None:
    async def body(world: World) -> None:
        await world.create(JOBS, job(parallelism=2, completions=2))
        await world.quiet()
        await world.client.delete(JOBS, "work", NAMESPACE, propagation="Background")

        async def gone() -> bool:
            return not await world.pods()

        await world.until(gone)

    run(body)


def test_a_job_is_deleted_when_its_time_to_live_is_over() -> None:
    async def body(world: World) -> None:
        world.kubelet.ends = lambda pod: "Succeeded"
        await world.create(JOBS, job(ttlSecondsAfterFinished=1))
        await ended(world, "Complete")

        async def gone() -> bool:
            try:
                return not await look(world)
            except ApiError as error:
                return error.code == 404

        await world.until(gone)
        assert await world.pods() == []

    run(body)


def test_what_the_api_refuses_is_told_and_tried_again() -> None:
    async def body(world: World) -> None:
        refused = 0
        create = world.client.create

        async def refusing(resource: Any, obj: Object, *, subresource: str = "") -> Object:
            nonlocal refused
            if resource is PODS and refused < 2:
                refused += 1
                raise ApiError({"code": 403, "reason": "Forbidden", "message": "exceeded quota: q"})
            return await create(resource, obj, subresource=subresource)

        world.client.create = refusing  # type: ignore[method-assign]
        await create(JOBS, job())
        await world.quiet()
        assert len(await world.pods()) == 1
        assert await told(world) == [
            ("Warning", "FailedCreate", "Error creating: exceeded quota: q", "job-controller"),
            ("Warning", "FailedCreate", "Error creating: exceeded quota: q", "job-controller"),
            CREATED,
        ]
        assert condition_of(await look(world), "Failed") is None

    run(body)
