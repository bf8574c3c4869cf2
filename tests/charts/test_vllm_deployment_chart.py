"""What the vllm-deployment chart renders, with the real Helm engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "vllm-deployment"
RELEASE = "llama-2-7b-production"
MODEL = {"model": {"name": "llama-2-7b", "path": "meta-llama/Llama-2-7b-chat-hf"}}
SELECTOR = {"app.kubernetes.io/name": "vllm-deployment", "app.kubernetes.io/instance": RELEASE}


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Values laid over each other as Helm does with several files."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def values_of(name: str) -> dict[str, Any]:
    return merged(MODEL, yaml.safe_load((CHART / name).read_text()) or {}) if name != "values.yaml" else MODEL


def render(values: dict[str, Any], release: str = RELEASE) -> dict[str, dict[str, Any]]:
    """Rendered objects by kind."""
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name=release, namespace="system")
    documents = [yaml.safe_load(text) for name, text in files.items() if name.endswith(".yaml")]
    return {document["kind"]: document for document in documents if document}


def container(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (only,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("name", ["values.yaml", "values-production.yaml", "values-gameday.yaml"])
class TestEveryValuesFile:
    def test_passes_lint(self, name):
        report = helm_python.lint(str(CHART), values_of(name), strict=True)
        assert report["errors"] == []
        assert [message for message in report["messages"] if message["severity"] > 1] == []

    def test_names_all_objects_after_the_release(self, name):
        objects = render(values_of(name))
        assert {document["metadata"]["name"] for document in objects.values()} == {RELEASE}
        assert {document["metadata"]["namespace"] for document in objects.values()} == {"system"}
        assert {"Deployment", "Service", "ServiceAccount", "NetworkPolicy"} <= set(objects)

    def test_selects_its_pods_by_name_and_instance_only(self, name):
        objects = render(values_of(name))
        assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == SELECTOR
        assert objects["Service"]["spec"]["selector"] == SELECTOR
        assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == SELECTOR
        labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
        environment = "development" if name == "values.yaml" else "production"
        extra = {"model": "llama-2-7b", "environment": environment, "app.kubernetes.io/environment": environment}
        assert labels == SELECTOR | extra

    def test_labels_every_object(self, name):
        for document in render(values_of(name)).values():
            labels = document["metadata"]["labels"]
            assert labels["helm.sh/chart"] == "vllm-deployment-0.1.0"
            assert labels["app.kubernetes.io/managed-by"] == "Helm"
            assert labels.items() >= SELECTOR.items()

    def test_starts_vllm_as_the_image_is_started(self, name):
        vllm = container(render(values_of(name)))
        assert vllm["command"] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
        timeout = {"values.yaml": 30, "values-production.yaml": 60, "values-gameday.yaml": 5}[name]
        assert vllm["args"] == [
            "--model=meta-llama/Llama-2-7b-chat-hf",
            "--served-model-name=llama-2-7b",
            "--host=0.0.0.0",
            "--port=8000",
            f"--shutdown-timeout={timeout}",
        ]
        assert vllm["resources"]["limits"]["nvidia.com/gpu"] == 1

    def test_probes_only_what_vllm_answers(self, name):
        vllm = container(render(values_of(name)))
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert vllm[probe]["httpGet"] == {"path": "/health", "port": "http"}
        assert vllm["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]

    def test_gives_pods_time_to_load_and_to_drain(self, name):
        spec = render(values_of(name))["Deployment"]["spec"]
        (vllm,) = spec["template"]["spec"]["containers"]
        startup = vllm["startupProbe"]
        assert spec["progressDeadlineSeconds"] > startup["periodSeconds"] * startup["failureThreshold"]
        drain = vllm["lifecycle"]["preStop"]["sleep"]["seconds"] + int(vllm["args"][-1].partition("=")[2])
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > drain

    def test_runs_on_gpu_nodes(self, name):
        pod = render(values_of(name))["Deployment"]["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"node-type": "gpu"}
        taint = {"key": "gpu-workload", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        assert pod["tolerations"] == [taint]


def test_production_has_three_replicas_and_twenty_minutes_to_load():
    objects = render(values_of("values-production.yaml"))
    assert objects["Deployment"]["spec"]["replicas"] == 3
    startup = container(objects)["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 1200
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_a_game_day_shortens_periods_and_not_semantics():
    production = container(render(values_of("values-production.yaml")))
    objects = render(values_of("values-gameday.yaml"))
    gameday = container(objects)
    for probe in ("livenessProbe", "readinessProbe"):
        assert gameday[probe]["failureThreshold"] == production[probe]["failureThreshold"]
        assert gameday[probe]["periodSeconds"] == 1
    spec = objects["Deployment"]["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert gameday["resources"]["requests"]["memory"] == "96Mi"
    assert gameday["resources"]["limits"]["memory"] == "256Mi"


def test_an_override_renames_everything():
    objects = render(MODEL | {"fullnameOverride": "other", "configMap": {"a": "b"}})
    names = {document["metadata"]["name"] for document in objects.values()}
    assert names == {"other", "other-config"}


def test_the_served_name_defaults_to_the_last_part_of_the_path():
    objects = render({"model": {"path": "/models/Mistral-7B:v1"}})
    assert "--served-model-name=Mistral-7B:v1" in container(objects)["args"]
    assert objects["Deployment"]["spec"]["template"]["metadata"]["labels"]["model"] == "Mistral-7B-v1"


def test_arguments_and_environment_can_be_given():
    secret = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    literal = {"name": "A", "value": "1"}
    vllm = container(render(MODEL | {"vllm": {"extraArgs": ["--max-num-seqs=8"], "env": [secret, literal]}}))
    assert vllm["args"][-1] == "--max-num-seqs=8"
    assert vllm["env"] == [secret, literal]
    assert container(render({"vllm": {"args": ["--model=m"]}}))["args"] == ["--model=m"]


def test_a_change_of_the_config_rolls_the_pods():
    def pod(text):
        objects = render(MODEL | {"configMap": {"config.yaml": text}})
        assert objects["ConfigMap"]["data"] == {"config.yaml": text}
        return objects["Deployment"]["spec"]["template"]

    one, other = pod("a: 1\n"), pod("a: 2\n")
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert one["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] == "/etc/vllm"
    assert one["spec"]["volumes"][0]["configMap"]["name"] == f"{RELEASE}-config"


def test_optional_objects_appear_on_demand():
    absent = {"ServiceMonitor", "PodDisruptionBudget", "PersistentVolumeClaim", "ConfigMap"}
    assert not absent & set(render(MODEL))
    wanted = {
        "prometheus": {"serviceMonitor": {"enabled": True}},
        "podDisruptionBudget": {"enabled": True},
        "persistence": {"enabled": True},
    }
    objects = render(MODEL | wanted)
    assert objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == SELECTOR
    assert objects["ServiceMonitor"]["spec"]["endpoints"][0]["path"] == "/metrics"
    assert objects["PersistentVolumeClaim"]["spec"]["resources"]["requests"]["storage"] == "50Gi"


def test_no_hook_is_rendered():
    for document in render(values_of("values-gameday.yaml")).values():
        assert "helm.sh/hook" not in document["metadata"].get("annotations", {})


def test_the_network_policy_admits_router_diagnostics_and_monitoring():
    (rule,) = render(MODEL)["NetworkPolicy"]["spec"]["ingress"]
    namespaces = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
    assert namespaces == ["system", "system", "monitoring"]
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "api-router"}
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]
    closed = render(MODEL | {"networkPolicy": {"allowedSources": []}})
    assert closed["NetworkPolicy"]["spec"]["ingress"] == []


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicaCount": "3"}, "/replicaCount"),
        ({"replicaCount": -1}, "/replicaCount"),
        ({"resources": {"limits": {"memory": "lots"}}}, "/resources/limits/memory"),
        ({"resources": {"limit": {}}}, "'limit' not allowed"),
        ({"image": {"tag": 1}}, "/image/tag"),
        ({"livenessProbe": {"periodSeconds": 0}}, "/livenessProbe/periodSeconds"),
        ({"vllm": {"env": [{"name": "A", "value": 1}]}}, "/vllm/env/0"),
        ({"vllm": {"env": [{"name": "A", "value": "1", "valueFrom": {}}]}}, "/vllm/env/0"),
        ({"environment": "prod"}, "/environment"),
        ({"replicas": 3}, "'replicas' not allowed"),
        ({"strategy": {"rollingUpdate": {"maxSurge": "one"}}}, "/strategy/rollingUpdate/maxSurge"),
    ],
)
def test_the_schema_refuses_wrong_values_and_names_them(values, complaint):
    with pytest.raises(helm_python.HelmValuesError, match=complaint):
        render(merged(MODEL, values))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"model": {"path": ""}}, "model.path is required"),
        ({"terminationGracePeriodSeconds": 45}, "terminationGracePeriodSeconds \\(45\\) must be greater"),
        ({"progressDeadlineSeconds": 600}, "progressDeadlineSeconds \\(600\\) must be greater"),
        ({"preInstallChecks": {"enabled": True}}, "has no pre-install check"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values, complaint):
    with pytest.raises(helm_python.HelmRenderError, match=complaint):
        render(merged(MODEL, values))


@pytest.mark.parametrize("name", ["values.yaml", "values-production.yaml", "values-gameday.yaml"])
def test_every_object_is_valid_kubernetes(name):
    everything = {
        "configMap": {"a": "b"},
        "persistence": {"enabled": True},
        "podDisruptionBudget": {"enabled": True},
    }
    for document in render(merged(values_of(name), everything)).values():
        kubernetes_validate.validate(document, "1.36", strict=True)
