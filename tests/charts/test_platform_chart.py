"""What the platform chart renders."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "platform"
VALUES_FILES = [None, "values-production.yaml", "values-gameday.yaml"]
Object = dict[str, Any]


def load_values(name: str | None) -> Object:
    return yaml.safe_load((CHART / name).read_text()) if name else {}


def render(values: Object) -> dict[tuple[str, str], Object]:
    with helm_python.Chart.load(CHART) as chart:
        manifests = chart.render(values, name="platform", namespace="system")
    documents = [text for path, text in manifests.items() if not path.endswith(".txt")]
    objects = [found for text in documents for found in yaml.safe_load_all(text) if found]
    return {(found["kind"], found["metadata"]["name"]): found for found in objects}


def notes(values: Object) -> str:
    with helm_python.Chart.load(CHART) as chart:
        return chart.render(values, name="platform", namespace="system")["platform/templates/NOTES.txt"]


def container(objects: dict[tuple[str, str], Object], name: str) -> Object:
    return objects["Deployment", name]["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture(scope="module")
def gameday() -> dict[tuple[str, str], Object]:
    return render(load_values("values-gameday.yaml"))


@pytest.mark.helm
@pytest.mark.parametrize("name", VALUES_FILES)
def test_every_values_file_passes_helm_lint(name: str | None) -> None:
    report = helm_python.lint(CHART, load_values(name), strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.helm
@pytest.mark.parametrize("name", VALUES_FILES)
def test_names_and_ports_are_those_of_the_contract(name: str | None) -> None:
    objects = render(load_values(name))
    for service, port in {"redis": 6379, "model-registry": 8081, "api-router": 8080}.items():
        spec = objects["Service", service]["spec"]
        pod = objects["Deployment", service]["spec"]["template"]
        assert [entry["port"] for entry in spec["ports"]] == [port]
        assert spec["selector"].items() <= pod["metadata"]["labels"].items()
        ports = {entry["name"]: entry["containerPort"] for entry in container(objects, service)["ports"]}
        assert ports[spec["ports"][0]["targetPort"]] == port
        assert pod["spec"]["serviceAccountName"] == service
        assert ("ServiceAccount", service) in objects


@pytest.mark.helm
def test_every_object_is_labelled_and_in_the_namespace(gameday: dict[tuple[str, str], Object]) -> None:
    wanted = {"app.kubernetes.io/instance": "platform", "app.kubernetes.io/part-of": "platform"}
    for found in gameday.values():
        labels = found["metadata"]["labels"]
        assert wanted.items() <= labels.items()
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= set(labels)
        if found["kind"].startswith("ClusterRole"):
            assert found["metadata"]["name"] == "system-remediation", "names of a cluster's objects say whose they are"
        else:
            assert found["metadata"]["namespace"] == "system"


@pytest.mark.helm
def test_containers_run_without_privileges(gameday: dict[tuple[str, str], Object]) -> None:
    for name in ("redis", "model-registry", "api-router"):
        pod = gameday["Deployment", name]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        security = container(gameday, name)["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container(gameday, name)["resources"]["limits"]["memory"]


@pytest.mark.helm
def test_a_game_day_probes_every_second(gameday: dict[tuple[str, str], Object]) -> None:
    for name in ("redis", "model-registry", "api-router"):
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container(gameday, name)[kind]["periodSeconds"] == 1


@pytest.mark.helm
def test_the_services_find_each_other_and_their_secrets(gameday: dict[tuple[str, str], Object]) -> None:
    settings = gameday["ConfigMap", "api-router"]["data"]
    assert settings["MODEL_REGISTRY_URL"] == "http://model-registry:8081"
    assert settings["REDIS_URL"] == "redis://redis:6379/0"
    assert settings["ENVIRONMENT"] == "production"
    env = {entry["name"]: entry for entry in container(gameday, "model-registry")["env"]}
    assert env["MODEL_REGISTRY_REDIS_URL"]["value"] == settings["REDIS_URL"]
    assert env["MODEL_REGISTRY_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": "model-registry-admin",
        "key": "token",
    }
    assert env["ADMIN_CLI_TOKEN"] == {**env["MODEL_REGISTRY_TOKEN"], "name": "ADMIN_CLI_TOKEN"}
    keys = container(gameday, "api-router")["env"][0]["valueFrom"]["secretKeyRef"]
    assert keys == {"name": "api-router-keys", "key": "keys"}


@pytest.mark.helm
def test_the_registrys_data_lies_on_the_node_during_a_game_day(gameday: dict[tuple[str, str], Object]) -> None:
    pod = gameday["Deployment", "model-registry"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["hostPath"]["path"] == "/var/lib/model-registry"
    mount = pod["containers"][0]["volumeMounts"][0]["mountPath"]
    env = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    assert env["MODEL_REGISTRY_DATA_DIR"] == mount


@pytest.mark.helm
def test_an_external_database_needs_no_volume() -> None:
    objects = render({"modelRegistry": {"database": {"existingSecret": "registry-database"}}})
    pod = objects["Deployment", "model-registry"]["spec"]["template"]["spec"]
    env = {entry["name"]: entry for entry in pod["containers"][0]["env"]}
    assert env["MODEL_REGISTRY_DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"] == "registry-database"
    assert "MODEL_REGISTRY_DATA_DIR" not in env
    assert "volumes" not in pod


@pytest.mark.helm
def test_production_runs_two_routers_that_are_not_evicted_together() -> None:
    objects = render(load_values("values-production.yaml"))
    assert objects["Deployment", "api-router"]["spec"]["replicas"] == 2
    assert objects["PodDisruptionBudget", "api-router"]["spec"]["maxUnavailable"] == 1


@pytest.mark.helm
def test_draining_fits_into_the_termination_grace_period() -> None:
    objects = render({"apiRouter": {"drain": {"lameDuckSeconds": 3, "requestSeconds": 20}}})
    assert objects["Deployment", "api-router"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 23


@pytest.mark.helm
def test_secrets_are_the_given_ones_or_long_random_ones_and_never_in_the_notes() -> None:
    given = {"modelRegistry": {"token": "hush-token"}, "apiRouter": {"keys": ["hush-1", "hush-2"]}}
    objects = render(given)
    assert base64.b64decode(objects["Secret", "model-registry-admin"]["data"]["token"]) == b"hush-token"
    assert base64.b64decode(objects["Secret", "api-router-keys"]["data"]["keys"]) == b"hush-1,hush-2"
    assert "hush" not in notes(given)
    generated = [base64.b64decode(render({})["Secret", "model-registry-admin"]["data"]["token"]) for _ in range(2)]
    assert [len(token) for token in generated] == [40, 40]
    assert generated[0] != generated[1]


@pytest.mark.helm
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"environment": "prod"}, "environment"),
        ({"apiRouter": {"replicas": "two"}}, "replicas"),
        ({"apiRouter": {"keys": ["a,b"]}}, "keys"),
        ({"modelRegistry": {"cacheTTL": 5}}, "cacheTTL"),
        ({"modelRegistry": {"storage": {"type": "nfs"}}}, "storage"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: Object, named: str) -> None:
    with helm_python.Chart.load(CHART) as chart, pytest.raises(helm_python.HelmError, match=named):
        chart.validate_schema(values)
