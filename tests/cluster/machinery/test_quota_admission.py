"""Quotas at admission: what fits is taken, what does not is refused with the server's text, nothing counts twice."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.resources import CONFIG_MAPS, NAMESPACES, PODS, RESOURCE_QUOTAS, SERVICES
from cluster.embedded.store import Store


@pytest.fixture
def registry() -> Registry:
    made = Registry(Store())
    made.create(NAMESPACES, {"metadata": {"name": "team"}})
    return made


def limit(registry: Registry, **hard: str) -> None:
    spec = {"hard": {name.replace("_", "."): amount for name, amount in hard.items()}}
    registry.create(RESOURCE_QUOTAS, {"metadata": {"name": "limits", "namespace": "team"}, "spec": spec})


def pod(registry: Registry, cpu: str = "", **metadata: str) -> Any:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    spec = {"containers": [{"name": "app", "image": "i", "resources": resources}]}
    return registry.create(PODS, {"metadata": {"namespace": "team", **metadata}, "spec": spec})


def test_what_does_not_fit_is_refused_and_says_how_much_there_is(registry: Registry) -> None:
    limit(registry, requests_cpu="1", pods="3")
    pod(registry, "600m", name="first")
    with pytest.raises(ApiError) as refused:
        pod(registry, "500m", generateName="second-")
    assert (refused.value.code, str(refused.value)) == (
        403,
        'pods "second-" is forbidden: exceeded quota: limits, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1",
    )
    pod(registry, "400m", name="third")


def test_a_deleted_object_makes_room(registry: Registry) -> None:
    limit(registry, configmaps="1")
    first = {"metadata": {"name": "a", "namespace": "team"}}
    second = {"metadata": {"name": "b", "namespace": "team"}}
    registry.create(CONFIG_MAPS, first)
    with pytest.raises(ApiError, match="requested: configmaps=1, used: configmaps=1, limited: configmaps=1"):
        registry.create(CONFIG_MAPS, second)
    registry.delete(CONFIG_MAPS, "team", "a")
    registry.create(CONFIG_MAPS, second)


def test_a_pod_has_to_say_what_is_counted(registry: Registry) -> None:
    limit(registry, requests_cpu="1")
    with pytest.raises(ApiError, match=r"failed quota: limits: must specify requests.cpu for: app"):
        pod(registry, name="silent")


def test_a_change_counts_with_its_growth(registry: Registry) -> None:
    limit(registry, services_nodeports="0", services="1")
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    service = registry.create(SERVICES, {"metadata": {"name": "web", "namespace": "team"}, "spec": spec})
    registry.update(SERVICES, {**service, "metadata": {**service["metadata"], "labels": {"x": "y"}}})
    with pytest.raises(ApiError, match=r"exceeded quota: limits, requested: services.nodeports=1"):
        registry.patch(SERVICES, "team", "web", {"spec": {"type": "NodePort"}}, patch_type="merge")


def test_other_namespaces_are_not_limited(registry: Registry) -> None:
    limit(registry, pods="0")
    registry.create(NAMESPACES, {"metadata": {"name": "other"}})
    spec = {"containers": [{"name": "app", "image": "i"}]}
    registry.create(PODS, {"metadata": {"name": "free", "namespace": "other"}, "spec": spec})
