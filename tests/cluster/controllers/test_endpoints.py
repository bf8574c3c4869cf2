"""Endpoints say which addresses stand behind a Service, and which of them are ready."""

from __future__ import annotations

from typing import Any

from cluster.embedded.controllers.endpoint_plan import plan_slices
from cluster.embedded.resources import DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from tests.cluster.controllers.world import NAMESPACE, World, deployment, run, service


def _conditions(endpoint_slice: Any) -> list[tuple[bool, bool, bool]]:
    return [
        tuple(endpoint["conditions"][name] for name in ("ready", "serving", "terminating"))
        for endpoint in endpoint_slice["endpoints"] or []
    ]


def test_a_service_without_pods_has_an_empty_slice_as_recorded() -> None:
    async def body(world: World) -> None:
        made = await world.create(SERVICES, service())
        await world.quiet()
        (found,) = await world.slices()
        metadata = found["metadata"]
        assert metadata["name"].startswith("web-")
        assert metadata["labels"] == {
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": "web",
        }
        assert metadata["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
        assert (found.get("endpoints"), found.get("ports"), found["addressType"]) == (None, None, "IPv4")

    run(body)


def test_endpoints_follow_readiness_and_termination() -> None:
    async def body(world: World) -> None:
        await world.create(SERVICES, service())
        world.kubelet.stops = lambda pod: False
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        await world.quiet()
        (found,) = await world.slices()
        assert found["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP"}]
        assert _conditions(found) == [(True, True, False)] * 2
        first, second = await world.pods()
        world.kubelet.becomes_ready = lambda pod: pod["metadata"]["name"] != first["metadata"]["name"]
        await world.kubelet.set_ready(first, False)
        await world.client.delete(PODS, second["metadata"]["name"], NAMESPACE)
        await world.quiet()
        (found,) = await world.slices()
        by_pod = {e["targetRef"]["name"]: c for e, c in zip(found["endpoints"], _conditions(found), strict=True)}
        assert by_pod[first["metadata"]["name"]] == (False, False, False)
        assert by_pod[second["metadata"]["name"]] == (False, True, True)
        assert found["endpoints"][0]["nodeName"] == "node-1"
        legacy = await world.client.get(ENDPOINTS, "web", NAMESPACE)
        (subset,) = legacy["subsets"]
        assert [a["targetRef"]["name"] for a in subset["notReadyAddresses"]] == [first["metadata"]["name"]]
        assert len(subset["addresses"]) == 1  # the replacement; the terminating pod is not listed
        assert subset["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP"}]

    run(body)


def test_publish_not_ready_addresses() -> None:
    async def body(world: World) -> None:
        world.kubelet.becomes_ready = lambda pod: False
        await world.create(SERVICES, service(publishNotReadyAddresses=True, clusterIP="None"))
        await world.create(DEPLOYMENTS, deployment(replicas=1))
        await world.quiet()
        (made,) = await world.pods()
        await world.kubelet.set_ready(made, False)
        await world.quiet()
        (found,) = await world.slices()
        assert _conditions(found) == [(True, False, False)]
        assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""

    run(body)


def test_a_deleted_slice_comes_back_and_a_deleted_service_takes_everything_along() -> None:
    async def body(world: World) -> None:
        await world.create(SERVICES, service())
        await world.quiet()
        (found,) = await world.slices()
        await world.client.delete(ENDPOINT_SLICES, found["metadata"]["name"], NAMESPACE)
        await world.quiet()
        assert len(await world.slices()) == 1
        await world.client.delete(SERVICES, "web", NAMESPACE)
        await world.quiet()
        assert await world.slices() == []
        assert (await world.client.list(ENDPOINTS, NAMESPACE)).items == []

    run(body)


def test_a_service_without_a_selector_is_left_alone() -> None:
    async def body(world: World) -> None:
        await world.create(SERVICES, service(selector=None))
        await world.quiet()
        assert await world.slices() == []

    run(body)


def _pod(number: int, port: int) -> Any:
    container = {"name": "c", "ports": [{"name": "api", "containerPort": port}]}
    metadata = {"name": f"p{number}", "namespace": "d", "uid": str(number), "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": [container]}, "status": {"podIP": f"10.0.0.{number}"}}


def test_named_ports_are_looked_up_in_each_pod_and_slices_hold_a_hundred() -> None:
    named = service(ports=[{"name": "http", "port": 80, "targetPort": "api"}])
    pods = [_pod(n, 8000) for n in range(150)] + [_pod(200, 9000)]
    plan = plan_slices(named, pods, ["149"])
    assert [(len(item.endpoints), item.ports[0][1]) for item in plan] == [(100, 8000), (50, 8000), (1, 9000)]
    assert plan[0].endpoints[0]["addresses"] == ["10.0.0.149"]


def test_the_time_of_a_change_is_told_only_when_it_is_new() -> None:
    async def body(world: World) -> None:
        trigger = "endpoints.kubernetes.io/last-change-trigger-time"
        await world.create(SERVICES, service())
        await world.quiet()
        (empty,) = await world.slices()
        assert (
            empty["metadata"]["annotations"][trigger]
            == ((await world.client.get(SERVICES, "web", NAMESPACE))["metadata"]["creationTimestamp"])
        )
        await world.create(DEPLOYMENTS, deployment(replicas=1))
        await world.available(1)
        await world.quiet()
        (ready,) = await world.slices()
        (pod,) = await world.pods()
        since = next(c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready")
        assert ready["metadata"]["annotations"][trigger] == since
        world.kubelet.stops = lambda pod: False
        await world.change("web", replicas=0)
        await world.quiet()
        (ending,) = await world.slices()
        assert ending["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
        assert trigger not in (ending["metadata"].get("annotations") or {})
        legacy = await world.client.get(ENDPOINTS, "web", NAMESPACE)
        assert trigger not in (legacy["metadata"].get("annotations") or {})
        assert legacy["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}

    run(body)
