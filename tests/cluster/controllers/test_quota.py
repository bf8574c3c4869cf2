"""A quota counts what a namespace uses, and words its refusals as a real API server does."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded import quota
from cluster.embedded.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
    Object,
)
from tests.cluster.controllers.world import NAMESPACE, World, deployment, run, service


def limits(hard: dict[str, str], name: str = "compute", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard, **spec}}


def pod(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **spec: Any) -> Object:
    resources = {"requests": requests or {}, "limits": limits or {}}
    containers = [{"name": "c", "image": "i", "resources": resources}]
    return {"metadata": {"name": "p", "namespace": NAMESPACE}, "spec": {"containers": containers, **spec}}


def used(hard: dict[str, str], *objects: tuple[Any, Object], **spec: Any) -> dict[str, str]:
    return quota.spelled(quota.used_by(limits(hard, **spec), objects))


def test_pods_count_with_their_requests_and_limits() -> None:
    big = pod({"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": "2"}, {"cpu": "2", "memory": "2Gi"})
    names = ("pods", "count/pods", "cpu", "requests.cpu", "limits.cpu", "memory", "limits.memory")
    hard = {**dict.fromkeys(names, "100"), "requests.nvidia.com/gpu": "8", "requests.ephemeral-storage": "1"}
    assert used(hard, (PODS, big), (PODS, pod({"cpu": "500m"}))) == {
        "count/pods": "2",
        "cpu": "2",
        "limits.cpu": "2",
        "limits.memory": "2Gi",
        "memory": "1Gi",
        "pods": "2",
        "requests.cpu": "2",
        "requests.ephemeral-storage": "0",
        "requests.nvidia.com/gpu": "2",
    }


def test_init_containers_count_when_they_ask_for_more() -> None:
    busy = pod({"cpu": "1"}, initContainers=[{"name": "i", "resources": {"requests": {"cpu": "3"}}}])
    assert used({"cpu": "9"}, (PODS, busy)) == {"cpu": "3"}


def test_a_pod_that_ended_is_only_an_object() -> None:
    ended = {**pod({"cpu": "1"}), "status": {"phase": "Succeeded"}}
    hard = {"pods": "9", "cpu": "9", "count/pods": "9"}
    assert used(hard, (PODS, ended)) == {"pods": "0", "cpu": "0", "count/pods": "1"}


def test_other_objects_count_by_kind() -> None:
    claim = {"metadata": {}, "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}}
    balanced = {"metadata": {}, "spec": {"type": "LoadBalancer", "ports": [{}, {}]}}
    hard = dict.fromkeys(
        (
            "configmaps", "count/configmaps", "count/deployments.apps", "services", "services.loadbalancers",
            "services.nodeports", "persistentvolumeclaims", "requests.storage",
            "fast.storageclass.storage.k8s.io/requests.storage",
        ),
        "9",
    )  # fmt: skip
    objects = (
        (CONFIG_MAPS, {"metadata": {}}),
        (DEPLOYMENTS, deployment()),
        (SERVICES, balanced),
        (SERVICES, service()),
        (PERSISTENT_VOLUME_CLAIMS, claim),
    )
    assert used(hard, *objects) == {
        "configmaps": "1",
        "count/configmaps": "1",
        "count/deployments.apps": "1",
        "services": "2",
        "services.loadbalancers": "1",
        "services.nodeports": "2",
        "persistentvolumeclaims": "1",
        "requests.storage": "5Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "5Gi",
    }


_HIGH = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}


@pytest.mark.parametrize(
    ("scope", "counted"),
    [
        ({"scopes": ["BestEffort"]}, "1"),
        ({"scopes": ["NotBestEffort"]}, "2"),
        ({"scopes": ["Terminating"]}, "1"),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, "1"),
        ({"scopeSelector": {"matchExpressions": [_HIGH]}}, "1"),
    ],
)
def test_scopes_choose_the_pods(scope: dict[str, Any], counted: str) -> None:
    pods = [pod(), pod({"cpu": "1"}, activeDeadlineSeconds=5), pod({"cpu": "1"}, priorityClassName="high")]
    objects = [*((PODS, one) for one in pods), (CONFIG_MAPS, {"metadata": {}})]
    assert used({"pods": "9", "configmaps": "9"}, *objects, **scope) == {"pods": counted, "configmaps": "0"}


def test_what_exceeds_a_quota_is_refused_in_kubernetes_words() -> None:
    mine = limits({"pods": "2", "requests.cpu": "1", "requests.memory": "1Gi"})
    one = pod({"cpu": "600m", "memory": "512Mi"})
    requested = quota.requested_of(mine, PODS, one)
    taken = quota.used_by(mine, [(PODS, one)])
    assert quota.refusal(mine, requested, {}) == ""
    assert quota.refusal(mine, requested, taken) == (
        "exceeded quota: compute, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
    )
    three = quota.used_by(mine, [(PODS, one), (PODS, one), (PODS, one)])
    assert quota.refusal(mine, requested, three) == (
        "exceeded quota: compute, requested: pods=1,requests.cpu=600m,requests.memory=512Mi, "
        "used: pods=3,requests.cpu=1800m,requests.memory=1536Mi, limited: pods=2,requests.cpu=1,requests.memory=1Gi"
    )
    assert quota.refusal(mine, quota.requested_of(mine, CONFIG_MAPS, {"metadata": {}}), three) == ""


def test_a_pod_that_cannot_be_counted_is_refused_too() -> None:
    mine = limits({"limits.cpu": "2", "requests.memory": "1Gi", "pods": "3"})
    assert quota.missing(mine, pod({"memory": "1Mi"}, {"cpu": "1"})) == ""
    assert quota.missing(mine, pod()) == (
        "failed quota: compute: must specify limits.cpu for: c; requests.memory for: c"
    )


def test_the_status_follows_what_comes_and_goes() -> None:
    async def body(world: World) -> None:
        async def says(expected: dict[str, str]) -> None:
            async def there() -> bool:
                found = await world.client.get(RESOURCE_QUOTAS, "compute", NAMESPACE)
                return (found.get("status") or {}).get("used") == expected

            await world.until(there)

        await world.create(RESOURCE_QUOTAS, limits({"pods": "5", "count/deployments.apps": "2"}))
        await says({"pods": "0", "count/deployments.apps": "0"})
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await says({"pods": "2", "count/deployments.apps": "1"})
        found = await world.client.get(RESOURCE_QUOTAS, "compute", NAMESPACE)
        assert found["status"]["hard"] == {"pods": "5", "count/deployments.apps": "2"}
        await world.client.patch(RESOURCE_QUOTAS, "compute", {"spec": {"hard": {"pods": "7"}}}, NAMESPACE)
        await world.client.delete(DEPLOYMENTS, "web", NAMESPACE, propagation="Background")
        await says({"pods": "0", "count/deployments.apps": "0"})
        await world.quiet()
        assert (await world.client.get(RESOURCE_QUOTAS, "compute", NAMESPACE))["status"]["hard"]["pods"] == "7"

    run(body)
