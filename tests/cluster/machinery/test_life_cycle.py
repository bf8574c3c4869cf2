"""Generation, conditional writes, finalizers, namespaces, graceful deletion, addresses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Object,
)
from cluster.embedded.store import Store


def pod(name: str = "p", **spec: Any) -> Object:
    containers = [{"name": "c", "image": "i:v1"}]
    metadata = {"name": name, "namespace": "system", "labels": {"app": "x"}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


def running_pod(registry: Registry, name: str = "p") -> Object:
    registry.create(PODS, pod(name))
    registry.bind("system", {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return registry.patch(PODS, "system", name, {"status": ready}, patch_type="strategic", subresource="status")


def config_map(**extra: Any) -> Object:
    return {"metadata": {"name": "c", "namespace": "system", **extra}, "data": {"a": "1"}}


def refused(code: int) -> Any:
    return pytest.raises(ApiError, check=lambda error: error.code == code)


def test_a_pod_that_runs_keeps_its_grace_period(registry: Registry) -> None:
    running_pod(registry)
    deleted = registry.delete(PODS, "system", "p")
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 30
    assert deleted["metadata"]["generation"] == 2
    assert registry.get(PODS, "system", "p") is deleted


def test_a_grace_period_can_be_shortened_but_not_lengthened(registry: Registry) -> None:
    running_pod(registry)
    registry.delete(PODS, "system", "p")
    shorter = registry.delete(PODS, "system", "p", grace_period_seconds=5)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert registry.delete(PODS, "system", "p", grace_period_seconds=60) == shorter
    registry.delete(PODS, "system", "p", grace_period_seconds=0)
    assert not registry.exists(PODS, "system", "p")


def test_a_finished_pod_goes_at_once(registry: Registry) -> None:
    running_pod(registry)
    finished = {"status": {"phase": "Succeeded"}}
    registry.patch(PODS, "system", "p", finished, patch_type="merge", subresource="status")
    registry.delete(PODS, "system", "p", grace_period_seconds=30)
    assert not registry.exists(PODS, "system", "p")


def test_a_pod_with_a_finalizer_stays_after_grace_zero(registry: Registry) -> None:
    body = pod()
    body["metadata"]["finalizers"] = ["a.b/c"]
    registry.create(PODS, body)
    registry.delete(PODS, "system", "p", grace_period_seconds=0)
    assert registry.exists(PODS, "system", "p")
    registry.patch(PODS, "system", "p", {"metadata": {"finalizers": None}}, patch_type="merge")
    assert not registry.exists(PODS, "system", "p")


def test_binding_sets_the_node_and_the_condition_and_no_generation(registry: Registry) -> None:
    bound = running_pod(registry)
    assert bound["spec"]["nodeName"] == "n"
    assert bound["metadata"]["generation"] == 1
    assert bound["status"]["conditions"][-1]["type"] == "PodScheduled"
    with refused(409):
        registry.bind("system", {"metadata": {"name": "p"}, "target": {"name": "other"}})


def test_an_eviction_uses_up_the_budget(registry: Registry) -> None:
    running_pod(registry, "a")
    running_pod(registry, "b")
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    registry.create(POD_DISRUPTION_BUDGETS, {"metadata": {"name": "b", "namespace": "system"}, "spec": spec})
    counts = {
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "disruptionsAllowed": 1,
        "expectedPods": 2,
        "observedGeneration": 1,
    }
    registry.patch(POD_DISRUPTION_BUDGETS, "system", "b", {"status": counts}, patch_type="merge", subresource="status")
    registry.evict("system", {"metadata": {"name": "a"}})
    evicted = registry.get(PODS, "system", "a")
    assert evicted["metadata"]["deletionTimestamp"]
    assert "DisruptionTarget" in {c["type"] for c in evicted["status"]["conditions"]}
    with refused(429):
        registry.evict("system", {"metadata": {"name": "b"}})


def test_a_write_that_changes_nothing_makes_no_event(registry: Registry) -> None:
    created = registry.create(CONFIG_MAPS, config_map())
    version = registry.store.version
    assert registry.patch(CONFIG_MAPS, "system", "c", {"data": {"a": "1"}}, patch_type="merge") is created
    assert registry.update(CONFIG_MAPS, config_map()) is created
    assert registry.store.version == version


def test_a_stored_object_shares_nothing_with_the_caller(registry: Registry) -> None:
    body = config_map(labels={"a": "b"})
    registry.create(CONFIG_MAPS, body)
    body["data"]["a"] = body["metadata"]["labels"]["a"] = "changed"
    stored = registry.get(CONFIG_MAPS, "system", "c")
    assert (stored["data"], stored["metadata"]["labels"]) == ({"a": "1"}, {"a": "b"})


def test_earlier_versions_never_change(registry: Registry) -> None:
    before = running_pod(registry)
    text = repr(before)
    for change in ({"phase": "Failed"}, {"conditions": [{"type": "Ready", "status": "False"}]}):
        registry.patch(PODS, "system", "p", {"status": change}, patch_type="strategic", subresource="status")
    registry.patch(PODS, "system", "p", {"metadata": {"labels": {"n": "1"}}}, patch_type="merge")
    assert repr(before) == text


def test_generated_names_use_letters_that_make_no_words(registry: Registry) -> None:
    body = config_map(generateName="x" * 70)
    del body["metadata"]["name"]
    name = registry.create(CONFIG_MAPS, body)["metadata"]["name"]
    assert re.fullmatch("x{58}[bcdfghjklmnpqrstvwxz2456789]{5}", name)


def test_a_namespace_that_terminates_takes_nothing_new(registry: Registry) -> None:
    registry.create(NAMESPACES, {"metadata": {"name": "gone"}})
    registry.delete(NAMESPACES, "", "gone")
    with refused(403) as caught:
        registry.create(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "gone"}})
    assert caught.value.status["details"]["causes"][0]["reason"] == "NamespaceTerminating"


def test_a_namespace_goes_when_its_last_finalizer_is_taken(registry: Registry) -> None:
    registry.create(NAMESPACES, {"metadata": {"name": "gone"}})
    marked = registry.delete(NAMESPACES, "", "gone")
    assert marked["status"] == {"phase": "Terminating"}
    registry.update(NAMESPACES, {"metadata": {"name": "gone"}, "spec": {}}, subresource="finalize")
    assert not registry.exists(NAMESPACES, "", "gone")


def test_foreground_deletion_leaves_a_finalizer_for_the_garbage_collector(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map())
    kept = registry.delete(CONFIG_MAPS, "system", "c", propagation="Foreground")
    assert kept["metadata"]["finalizers"] == ["foregroundDeletion"]


def test_a_service_keeps_its_address(registry: Registry) -> None:
    body = {"metadata": {"name": "s", "namespace": "system"}, "spec": {"ports": [{"port": 80}]}}
    created = registry.create(SERVICES, body)
    changed = registry.update(SERVICES, {**body, "spec": {"ports": [{"port": 81}]}})
    assert created["spec"]["clusterIP"] == changed["spec"]["clusterIP"]
    taken = {"ports": [{"port": 80}], "clusterIP": created["spec"]["clusterIP"]}
    with refused(422):
        registry.create(SERVICES, {"metadata": {"name": "t", "namespace": "system"}, "spec": taken})


def test_taints_are_an_atomic_list_without_merge_key(registry: Registry) -> None:
    registry.create(NODES, {"metadata": {"name": "n"}})
    for key in ("a", "b"):
        taints = {"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}
        patched = registry.patch(NODES, "", "n", taints, patch_type="strategic")
        assert patched["spec"] == taints["spec"]
    with refused(422) as caught:
        registry.patch(NODES, "", "n", {"spec": {"taints": [{"$patch": "delete", "key": "a"}]}}, patch_type="strategic")
    assert caught.value.status["message"] == 'Node "n" is invalid: metadata.taints[0].effect: Required value'


def test_a_patch_of_the_wrong_type_names_what_came_out_of_it(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map())
    with refused(422) as caught:
        registry.patch(CONFIG_MAPS, "system", "c", {"data": {"a": 1}}, patch_type="merge")
    message = caught.value.status["message"]
    assert message.startswith(' "" is invalid: patch: Invalid value: "{')
    assert message.endswith("json: cannot unmarshal number into Go struct field ConfigMap.data of type string")


def test_most_of_a_pods_spec_is_immutable(registry: Registry) -> None:
    registry.create(PODS, pod())
    with refused(422) as caught:
        registry.patch(PODS, "system", "p", {"spec": {"nodeName": "x"}}, patch_type="merge")
    assert "pod updates may not change fields other than" in caught.value.status["message"]


def test_a_pod_gets_the_credentials_of_its_account() -> None:
    registry = Registry(Store(), service_accounts=True)
    with refused(403) as caught:
        registry.create(PODS, pod())
    assert 'error looking up service account system/default: serviceaccount "default"' in str(caught.value)
    registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "system"}})
    spec = registry.create(PODS, pod())["spec"]
    (volume,) = spec["volumes"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume["name"]
    assert "volumes" not in registry.create(PODS, pod("q", automountServiceAccountToken=False))["spec"]


def test_kubectl_takes_over_what_it_applied_client_side(registry: Registry) -> None:
    key = "kubectl.kubernetes.io/last-applied-configuration"
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    registry.create(
        CONFIG_MAPS,
        config_map(annotations={key: json.dumps(applied)}),
        field_manager="kubectl-client-side-apply",
    )
    wanted = {**applied, "data": {"a": "2"}}
    with refused(409):
        registry.patch(CONFIG_MAPS, "system", "c", wanted, patch_type="apply", field_manager="other")
    taken = registry.patch(CONFIG_MAPS, "system", "c", wanted, patch_type="apply", field_manager="kubectl")
    assert taken["data"] == {"a": "2"}


def test_deployment_annotations_count_as_a_change_of_the_desired_state(registry: Registry) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    registry.create(DEPLOYMENTS, {"metadata": {"name": "d", "namespace": "system"}, "spec": spec})
    for change, generation in (({"labels": {"x": "y"}}, 1), ({"annotations": {"x": "y"}}, 2)):
        patched = registry.patch(DEPLOYMENTS, "system", "d", {"metadata": change}, patch_type="merge")
        assert patched["metadata"]["generation"] == generation
