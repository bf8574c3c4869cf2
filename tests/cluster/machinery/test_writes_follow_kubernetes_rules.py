"""The rules between a request and the store: defaults, patches, ownership, deletion, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, SERVICES, Object
from cluster.embedded.store import Store


@pytest.fixture
def registry() -> Registry:
    addresses = iter(f"127.1.0.{n}" for n in range(1, 250))
    return Registry(Store(), service_addresses=lambda: next(addresses))


def deployment(**spec: Any) -> Object:
    labels = {"app": "web"}
    container = {"name": "c", "image": "web:v1", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "system"},
        "spec": spec,
    }


def pod(**spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "system"},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


def apply(registry: Registry, obj: Object, manager: str = "helm", *, force: bool = False) -> Object:
    return registry.patch(DEPLOYMENTS, "system", "web", obj, patch_type="apply", field_manager=manager, force=force)


def test_quantities_given_as_numbers_are_served_as_strings(registry: Registry) -> None:
    resources = {"limits": {"nvidia.com/gpu": 1, "cpu": 0.5}}
    created = registry.create(PODS, pod(containers=[{"name": "c", "image": "i", "resources": resources}]))
    served = created["spec"]["containers"][0]["resources"]
    assert served == {
        "limits": {"nvidia.com/gpu": "1", "cpu": "500m"},
        "requests": {"nvidia.com/gpu": "1", "cpu": "500m"},
    }


def test_limits_become_requests_in_pods_but_not_in_templates(registry: Registry) -> None:
    obj = deployment()
    obj["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
    served = registry.create(DEPLOYMENTS, obj)["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert served == {"limits": {"memory": "1Gi"}}


def test_a_service_gets_an_address_and_keeps_it(registry: Registry) -> None:
    service = {"metadata": {"name": "web", "namespace": "system"}, "spec": {"ports": [{"port": 80}]}}
    created = registry.create(SERVICES, service)
    assert created["spec"]["clusterIP"] == "127.1.0.1"
    replaced = registry.update(SERVICES, {**service, "spec": {"ports": [{"port": 81}]}})
    assert replaced["spec"]["clusterIP"] == "127.1.0.1"
    with pytest.raises(ApiError, match="may not change once set"):
        registry.update(SERVICES, {**service, "spec": {"ports": [{"port": 81}], "clusterIP": "127.1.0.9"}})


def test_a_write_that_changes_nothing_makes_no_event(registry: Registry) -> None:
    first = apply(registry, deployment())
    again = apply(registry, deployment())
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_an_applier_that_drops_a_field_removes_it_unless_somebody_else_owns_it(registry: Registry) -> None:
    obj = deployment(minReadySeconds=5)
    obj["metadata"]["labels"] = {"a": "1", "b": "2"}
    apply(registry, obj)
    other = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"b": "2"}}}
    apply(registry, other, "someone")
    served = apply(registry, deployment())
    assert "minReadySeconds" not in served["spec"]
    assert served["metadata"]["labels"] == {"b": "2"}


def test_an_env_variable_that_is_left_out_is_removed_and_others_stay(registry: Registry) -> None:
    def with_env(*names: str) -> Object:
        obj = deployment()
        obj["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": n, "value": n} for n in names]
        return obj

    apply(registry, with_env("A", "B", "C"))
    served = apply(registry, with_env("C", "A"))
    env = served["spec"]["template"]["spec"]["containers"][0]["env"]
    assert sorted(entry["name"] for entry in env) == ["A", "C"]


def test_a_field_of_another_manager_is_a_conflict_until_it_is_forced(registry: Registry) -> None:
    apply(registry, deployment(replicas=2))
    registry.patch(
        DEPLOYMENTS, "system", "web", {"spec": {"replicas": 5}}, patch_type="merge", field_manager="kubectl-scale"
    )
    with pytest.raises(ApiError) as caught:
        apply(registry, deployment(replicas=3))
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert (
        str(caught.value) == 'Apply failed with 1 conflict: conflict with "kubectl-scale" using apps/v1: .spec.replicas'
    )
    assert apply(registry, deployment(replicas=3), force=True)["spec"]["replicas"] == 3


def test_a_strategic_patch_merges_containers_by_name(registry: Registry) -> None:
    registry.create(DEPLOYMENTS, deployment())
    patch = {
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:v2"}, {"name": "d", "image": "x"}]}}}
    }
    served = registry.patch(DEPLOYMENTS, "system", "web", patch, patch_type="strategic")
    containers = served["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in containers] == [("c", "web:v2"), ("d", "x")]
    assert containers[0]["ports"][0]["containerPort"] == 80
    assert served["metadata"]["generation"] == 2


def test_a_strategic_patch_deletes_by_directive(registry: Registry) -> None:
    registry.create(DEPLOYMENTS, deployment())
    containers = [{"name": "d", "image": "x"}, {"name": "c", "$patch": "delete"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    served = registry.patch(DEPLOYMENTS, "system", "web", patch, patch_type="strategic")
    assert [c["name"] for c in served["spec"]["template"]["spec"]["containers"]] == ["d"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "spec.template.metadata.labels"),
        ({"template": {"metadata": {"labels": {"app": "web"}}, "spec": {}}}, "spec.template.spec.containers"),
    ],
)
def test_an_invalid_deployment_is_refused_with_its_cause(registry: Registry, change: Object, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        registry.create(DEPLOYMENTS, deployment(**change))
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert field in [cause["field"] for cause in caught.value.status["details"]["causes"]]


def test_an_unknown_field_is_refused_when_asked_to_be_strict(registry: Registry) -> None:
    with pytest.raises(ApiError, match=r'strict decoding error: unknown field "spec.replica"'):
        registry.create(DEPLOYMENTS, deployment(replica=3), field_validation="Strict")


def test_a_running_pod_goes_when_its_node_says_so_and_an_unscheduled_one_at_once(registry: Registry) -> None:
    registry.create(PODS, pod(nodeName="n1"))
    marked = registry.delete(PODS, "system", "p", grace_period_seconds=20)
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    longer = registry.delete(PODS, "system", "p", grace_period_seconds=60)
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 20
    registry.delete(PODS, "system", "p", grace_period_seconds=0)
    registry.create(PODS, pod())
    registry.delete(PODS, "system", "p")
    with pytest.raises(ApiError, match="not found"):
        registry.get(PODS, "system", "p")


def test_finalizers_hold_an_object_until_the_last_is_gone(registry: Registry) -> None:
    held = {"metadata": {"name": "c", "namespace": "system", "finalizers": ["a/b"]}}
    registry.create(CONFIG_MAPS, held)
    waiting = registry.delete(CONFIG_MAPS, "system", "c")
    assert waiting["metadata"]["deletionTimestamp"]
    registry.patch(CONFIG_MAPS, "system", "c", {"metadata": {"finalizers": None}}, patch_type="merge")
    with pytest.raises(ApiError, match="not found"):
        registry.get(CONFIG_MAPS, "system", "c")


def test_a_namespace_terminates_until_it_is_finalized(registry: Registry) -> None:
    registry.create(NAMESPACES, {"metadata": {"name": "n"}})
    assert registry.delete(NAMESPACES, "", "n")["status"]["phase"] == "Terminating"
    current = registry.get(NAMESPACES, "", "n")
    registry.update(NAMESPACES, {**current, "spec": {"finalizers": []}}, subresource="finalize")
    with pytest.raises(ApiError, match="not found"):
        registry.get(NAMESPACES, "", "n")


def test_a_write_with_an_old_resource_version_is_a_conflict(registry: Registry) -> None:
    created = registry.create(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "system"}, "data": {"a": "1"}})
    registry.patch(CONFIG_MAPS, "system", "c", {"data": {"a": "2"}}, patch_type="merge")
    with pytest.raises(ApiError, match="the object has been modified"):
        registry.update(CONFIG_MAPS, {**created, "data": {"a": "3"}})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True),
    st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
)
def test_after_an_apply_the_list_holds_what_was_applied_and_nothing_that_was_dropped(
    first: list[str], then: list[str]
) -> None:
    registry = Registry(Store())

    def with_env(names: list[str]) -> Object:
        obj = deployment()
        obj["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": n, "value": "1"} for n in names]
        return obj

    apply(registry, with_env(first))
    served = apply(registry, with_env(then))
    env = served["spec"]["template"]["spec"]["containers"][0].get("env") or []
    assert {entry["name"] for entry in env} == set(then)
