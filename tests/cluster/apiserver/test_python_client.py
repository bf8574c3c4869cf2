"""The Python kubernetes client, unchanged, against the server."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from tests.cluster.apiserver.conftest import Cluster


def config_map(name: str, **data: str) -> client.V1ConfigMap:
    labels = {"app": "vllm"}
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def test_an_object_can_be_created_read_replaced_patched_and_deleted(kube: Any) -> None:
    core = client.CoreV1Api(kube)
    created = core.create_namespaced_config_map("system", config_map("settings", a="1"))
    assert created.metadata.namespace == "system"
    assert created.metadata.uid
    created.data["b"] = "2"
    assert core.replace_namespaced_config_map("settings", "system", created).data == {"a": "1", "b": "2"}
    patched = core.patch_namespaced_config_map("settings", "system", {"data": {"a": None}})
    assert patched.data == {"b": "2"}
    assert [item.metadata.name for item in core.list_namespaced_config_map("system").items] == ["settings"]
    assert core.delete_namespaced_config_map("settings", "system")["status"] == "Success"
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("settings", "system")
    assert missing.value.status == 404


def test_a_stale_write_is_a_conflict(kube: Any) -> None:
    core = client.CoreV1Api(kube)
    first = core.create_namespaced_config_map("system", config_map("settings", a="1"))
    core.patch_namespaced_config_map("settings", "system", {"data": {"a": "2"}})
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("settings", "system", first)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")


def test_a_watch_delivers_every_change_after_the_list(kube: Any) -> None:
    core = client.CoreV1Api(kube)
    core.create_namespaced_config_map("system", config_map("before"))
    version = core.list_namespaced_config_map("system").metadata.resource_version
    core.create_namespaced_config_map("system", config_map("between"))
    seen: list[tuple[str, str]] = []
    ready = threading.Event()

    def follow() -> None:
        watcher = watch.Watch()
        for event in watcher.stream(
            core.list_namespaced_config_map, "system", resource_version=version, timeout_seconds=10
        ):
            seen.append((event["type"], event["object"].metadata.name))
            ready.set()
            if len(seen) == 3:
                watcher.stop()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    assert ready.wait(5)
    core.create_namespaced_config_map("system", config_map("after"))
    core.delete_namespaced_config_map("after", "system")
    thread.join(5)
    assert seen == [("ADDED", "between"), ("ADDED", "after"), ("DELETED", "after")]


def test_a_deployment_is_scaled_through_its_scale(kube: Any, cluster: Cluster) -> None:
    apps = client.AppsV1Api(kube)
    labels = {"app": "web"}
    container = {"name": "web", "image": "web:1"}
    body = {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    apps.create_namespaced_deployment("system", body)
    scale = apps.patch_namespaced_deployment_scale("web", "system", {"spec": {"replicas": 3}})
    assert scale.spec.replicas == 3
    assert scale.status.selector == "app=web"
    assert apps.read_namespaced_deployment("web", "system").spec.replicas == 3
    with pytest.raises(ApiException) as negative:
        apps.patch_namespaced_deployment_scale("web", "system", {"spec": {"replicas": -1}})
    assert negative.value.status == 422


def test_a_wrong_token_is_unauthorized_with_a_status(kube: Any, cluster: Cluster) -> None:
    kube.configuration.refresh_api_key_hook = None
    kube.configuration.api_key = {"BearerToken": "Bearer wrong"}
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(kube).list_namespace()
    assert refused.value.status == 401
    assert '"reason":"Unauthorized"' in refused.value.body
    kube.configuration.api_key = {}
    assert client.VersionApi(kube).get_code().git_version == "v1.36.2"
