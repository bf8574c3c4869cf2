"""A HorizontalPodAutoscaler scales to what its metrics ask for, and says why it cannot as a real cluster does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.embedded.controllers.hpa import selector_text
from cluster.embedded.controllers.hpa_limits import (
    DOWN_LIMIT,
    DOWN_STABILISED,
    READY,
    TOO_FEW,
    TOO_MANY,
    UP_LIMIT,
    UP_STABILISED,
    WITHIN,
    History,
    limit,
)
from cluster.embedded.controllers.hpa_metrics import MetricsError, Usage, requests_of
from cluster.embedded.controllers.hpa_replicas import Groups, Target, group, replicas_for
from cluster.embedded.quantity import from_milli
from cluster.embedded.resources import DEPLOYMENTS, EVENTS, HORIZONTAL_POD_AUTOSCALERS, Object
from tests.cluster.controllers.world import NAMESPACE, World, deployment, run

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
NO_API = (
    "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
    "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
)


class Metrics:
    """A metrics API whose pods all use the same."""

    def __init__(self, world_pods: Any, cpu: str) -> None:
        self.pods, self.cpu = world_pods, cpu
        self.selectors: list[str] = []

    async def of_pods(self, namespace: str, labels: str) -> list[Object]:
        self.selectors.append(labels)
        stamp = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return [
            {
                "metadata": {"name": pod["metadata"]["name"], "namespace": namespace},
                "timestamp": stamp,
                "window": "10.5s",
                "containers": [{"name": "c", "usage": {"cpu": self.cpu, "memory": "64Mi"}}],
            }
            for pod in await self.pods()
        ]


def autoscaler(name: str = "h", target: str = "web", *, metrics: list[Object] | None = None, **spec: Any) -> Object:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 5, "metrics": metrics or [CPU], **spec},
    }


def requesting(name: str = "web", replicas: int = 1) -> Object:
    made = deployment(name, replicas)
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    return made


async def status_of(world: World, name: str = "h") -> Object:
    status: Object = (await world.client.get(HORIZONTAL_POD_AUTOSCALERS, name, NAMESPACE))["status"]
    return status


def conditions(status: Object) -> list[tuple[str, str, str, str]]:
    return [(c["type"], c["status"], c["reason"], c["message"]) for c in status["conditions"]]


async def told(world: World, name: str) -> set[tuple[str, str, str, str]]:
    return {
        (e["type"], e["reason"], e["message"], e["source"]["component"])
        for e in (await world.client.list(EVENTS)).items
        if e["involvedObject"]["kind"] == "HorizontalPodAutoscaler" and e["involvedObject"]["name"] == name
    }


def _says(name: str, reason: str) -> Any:
    async def body(world: World) -> bool:
        return any(event[1] == reason for event in await told(world, name))

    return body


FAST: dict[str, Any] = {"hpa_sync_seconds": 0.05}


def test_without_the_metrics_api_it_says_so_as_recorded() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, requesting())
        await world.available(1)
        await world.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler())
        await world.until(lambda: _says("h", "FailedComputeMetricsReplicas")(world))
        await world.quiet()
        status = await status_of(world)
        got = "the HPA controller was able to get the target's current scale"
        failed = f"the HPA was unable to compute the replica count: {NO_API}"
        assert conditions(status) == [
            ("AbleToScale", "True", "SucceededGetScale", got),
            ("ScalingActive", "False", "FailedGetResourceMetric", failed),
        ]
        assert (status["currentMetrics"], status["currentReplicas"], status["desiredReplicas"]) == (
            [{"type": ""}],
            1,
            0,
        )
        all_failed = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value"
        assert await told(world, "h") == {
            ("Warning", "FailedGetResourceMetric", NO_API, "horizontal-pod-autoscaler"),
            ("Warning", "FailedComputeMetricsReplicas", f"{all_failed}: {NO_API}", "horizontal-pod-autoscaler"),
        }

    run(body, settings={"hpa_sync_seconds": 0.2})


def test_a_target_that_is_missing_is_told_as_recorded() -> None:
    async def body(world: World) -> None:
        await world.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler(target="nosuch"))
        await world.until(lambda: _says("h", "FailedGetScale")(world))
        await world.quiet()
        status = await status_of(world)
        text = 'deployments.apps "nosuch" not found'
        unable = f"the HPA controller was unable to get the target's current scale: {text}"
        assert conditions(status) == [("AbleToScale", "False", "FailedGetScale", unable)]
        assert status["desiredReplicas"] == 0
        assert await told(world, "h") == {("Warning", "FailedGetScale", text, "horizontal-pod-autoscaler")}

    run(body, settings={"hpa_sync_seconds": 0.2})


def test_fewer_replicas_than_the_minimum_are_raised_without_metrics_as_recorded() -> None:
    async def body(world: World) -> None:
        await world.create(DEPLOYMENTS, requesting())
        await world.available(1)
        await world.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler(minReplicas=3))
        await world.available(3)
        await world.quiet()
        status = await status_of(world)
        done = "the HPA controller was able to update the target scale to 3"
        assert conditions(status) == [("AbleToScale", "True", "SucceededRescale", done)]
        assert (status["currentReplicas"], status["desiredReplicas"]) == (1, 3)
        assert status["lastScaleTime"]
        text = "New size: 3; reason: Current number of replicas below Spec.MinReplicas"
        assert await told(world, "h") == {("Normal", "SuccessfulRescale", text, "horizontal-pod-autoscaler")}

    run(body, settings={"hpa_sync_seconds": 0.5})


def test_usage_above_the_target_adds_replicas() -> None:
    async def body(world: World) -> None:
        source.pods = world.pods
        world.kubelet.started = "2020-01-01T00:00:00Z"
        await world.create(DEPLOYMENTS, requesting(replicas=2))
        await world.available(2)
        await world.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler())
        await world.available(3)
        assert "New size: 3; reason: cpu resource utilization (percentage of request) above target" in (
            await world.messages("SuccessfulRescale")
        )
        source.cpu = "50m"

        async def content() -> bool:
            current = (await status_of(world))["currentMetrics"]
            return bool(current) and current[0]["resource"]["current"].get("averageUtilization") == 50

        await world.until(content)
        await world.quiet()
        status = await status_of(world)
        assert status["currentMetrics"] == [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": 50, "averageValue": "50m"}},
            }
        ]
        found = "the HPA was able to successfully calculate a replica count from cpu resource utilization"
        assert [c[:3] for c in conditions(status)] == [
            ("AbleToScale", "True", "ReadyForNewScale"),
            ("ScalingActive", "True", "ValidMetricFound"),
            ("ScalingLimited", "False", "DesiredWithinRange"),
        ]
        assert conditions(status)[1][3] == f"{found} (percentage of request)"
        assert set(source.selectors) == {"app=web"}
        assert len(await world.pods()) == 3

    source = Metrics(None, "75m")
    run(body, settings={**FAST, "pod_metrics": source})


def test_metrics_that_only_other_apis_know_are_refused_in_kubernetes_words() -> None:
    async def body(world: World) -> None:
        metric = {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "1"}}
        await world.create(DEPLOYMENTS, requesting())
        await world.available(1)
        await world.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler(metrics=[{"type": "Pods", "pods": metric}]))
        await world.until(lambda: _says("h", "FailedGetPodsMetric")(world))
        await world.quiet()
        assert conditions(await status_of(world))[1][:3] == ("ScalingActive", "False", "FailedGetPodsMetric")

    run(body, settings={"hpa_sync_seconds": 0.2})


# The numbers


def usages(*milli: int) -> dict[str, Usage]:
    return {f"p{number}": Usage(amount) for number, amount in enumerate(milli)}


@pytest.mark.parametrize(
    ("used", "replicas"),
    [((50, 50), 2), ((54, 55), 2), ((55, 57), 3), ((46, 45), 2), ((100, 100), 4), ((10, 10), 1), ((60, 61), 3)],
)
def test_replicas_follow_the_ratio_outside_a_tolerance_of_ten_percent(used: tuple[int, ...], replicas: int) -> None:
    measured = usages(*used)
    wanted, _ = replicas_for(Target(percent=50), 2, measured, Groups(ready=2), lambda: dict.fromkeys(measured, 100))
    assert wanted == replicas


def test_an_average_value_needs_no_requests() -> None:
    def never() -> dict[str, int]:
        raise AssertionError("asked for requests")

    wanted, ratio = replicas_for(Target(milli=100), 2, usages(300, 300), Groups(ready=2), never)
    assert (wanted, ratio.percent, ratio.milli_per_pod) == (6, None, 300)


@pytest.mark.parametrize(
    ("groups", "used", "replicas"),
    [
        (Groups(ready=1, missing=["p1"]), (200,), 4),  # 200 % of one pod; the missing one counts as idle
        (Groups(ready=1, missing=["p1"]), (10,), 2),  # 10 %; the missing one counts as at its full request
        (Groups(ready=1, unready=["p1"]), (100, 0), 2),  # the starting one counts as idle: exactly on target
        (Groups(ready=1, unready=["p1"]), (300, 0), 6),  # 300 % of one pod, as 150 % of two
        (Groups(ready=1, ignored=["p1"]), (100, 900), 2),
    ],
)
def test_pods_that_cannot_be_judged_dampen_the_change(groups: Groups, used: tuple[int, ...], replicas: int) -> None:
    requests = {"p0": 100, "p1": 100}
    assert replicas_for(Target(percent=50), 2, usages(*used), groups, lambda: requests)[0] == replicas


def test_no_judgeable_pod_is_an_error() -> None:
    with pytest.raises(MetricsError, match="did not receive metrics for targeted pods"):
        replicas_for(Target(percent=50), 1, usages(5), Groups(unready=["p0"]), dict)


def test_a_container_without_a_request_is_an_error() -> None:
    pod = {"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "c"}]}}
    with pytest.raises(MetricsError, match="missing request for cpu in container c of Pod web-1"):
        requests_of([pod], "cpu")


MOMENT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def measured_pod(**kind: Any) -> Object:
    ready = {
        "type": "Ready",
        "status": kind.get("ready", "True"),
        "lastTransitionTime": kind.get("since", "2026-01-01T11:00:00Z"),
    }
    status = {
        "phase": kind.get("phase", "Running"),
        "startTime": kind.get("start", "2026-01-01T10:00:00Z"),
        "conditions": [ready],
    }
    metadata = {"name": "p0", **({"deletionTimestamp": "2026-01-01T12:00:00Z"} if kind.get("deleted") else {})}
    return {"metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("pod", "where"),
    [
        (measured_pod(), "ready"),
        (measured_pod(phase="Pending"), "unready"),
        (measured_pod(deleted=True), "ignored"),
        (measured_pod(phase="Failed"), "ignored"),
        (measured_pod(start="2026-01-01T11:58:00Z", since="2026-01-01T11:59:50Z"), "unready"),
        (measured_pod(start="2026-01-01T11:58:00Z", since="2026-01-01T11:58:30Z"), "ready"),
        (measured_pod(start="2026-01-01T11:58:00Z", ready="False"), "unready"),
        (measured_pod(ready="False", since="2026-01-01T10:00:05Z"), "unready"),
        (measured_pod(ready="False", since="2026-01-01T11:00:00Z"), "ready"),
    ],
)
def test_cpu_of_a_start_is_not_taken_for_load(pod: Object, where: str) -> None:
    usage = {"p0": Usage(1, "2026-01-01T11:59:55Z", 30.0)}
    groups = group([pod], usage, "cpu", MOMENT)
    assert where == (
        "ready" if groups.ready else next(k for k in ("unready", "ignored", "missing") if getattr(groups, k))
    )
    assert group([measured_pod()], {}, "cpu", MOMENT).missing == ["p0"]


# The limits

BOUNDS: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 20}


def test_scaling_down_waits_for_300_seconds_without_a_higher_recommendation() -> None:
    history = History()
    history.recommend(0.0, 10)
    assert limit(BOUNDS, history, 10, 3, 299.0) == (10, DOWN_STABILISED, WITHIN)
    assert limit(BOUNDS, history, 10, 4, 301.0) == (4, READY, WITHIN)


def test_without_rules_replicas_at_most_double() -> None:
    assert limit(BOUNDS, History(), 1, 9, 0.0) == (4, READY, UP_LIMIT)
    assert limit(BOUNDS, History(), 5, 19, 0.0) == (10, READY, UP_LIMIT)
    assert limit(BOUNDS, History(), 15, 25, 0.0) == (20, READY, TOO_MANY)
    assert limit({**BOUNDS, "minReplicas": 3}, History(), 5, 1, 0.0) == (3, READY, TOO_FEW)


def test_policies_limit_the_change_of_a_period() -> None:
    up = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}
    down = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]}
    spec = {**BOUNDS, "behavior": {"scaleUp": up, "scaleDown": down}}
    history = History()
    assert limit(spec, history, 5, 15, 100.0) == (7, READY, UP_LIMIT)
    history.scaled(100.0, 5, 7)
    assert limit(spec, history, 7, 15, 130.0)[0] == 7
    assert limit(spec, history, 7, 15, 161.0)[0] == 9
    assert limit(spec, History(), 8, 1, 0.0) == (4, READY, DOWN_LIMIT)


def test_a_direction_can_be_disabled_and_scaling_up_can_be_stabilised() -> None:
    spec = {**BOUNDS, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"}}}
    assert limit(spec, History(), 8, 1, 0.0)[0] == 8
    spec = {**BOUNDS, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}}
    history = History()
    history.recommend(0.0, 2)
    assert limit(spec, history, 2, 6, 30.0) == (2, UP_STABILISED, WITHIN)
    assert limit(spec, history, 2, 6, 95.0)[0] == 6


@pytest.mark.parametrize(
    ("milli", "text"), [(0, "0"), (150, "150m"), (2000, "2"), (67108864000, "67108864"), (10**6, "1k")]
)
def test_quantities_are_spelled_shortest(milli: int, text: str) -> None:
    assert from_milli(milli) == text
    assert from_milli(64 * 2**20 * 1000, binary=True) == "64Mi"


def test_selectors_are_spelled_for_a_query() -> None:
    expressions = [
        {"key": "b", "operator": "In", "values": ["2", "1"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    assert selector_text({"matchLabels": {"a": "1"}, "matchExpressions": expressions}) == "a=1,b in (1,2),c,!d"
