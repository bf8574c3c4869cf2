"""Who may change the registry, and what a wrong request is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from clients.errors import EnvironmentUnusable, InputError, OperationFailed
from clients.http_json import call
from clients.registry import RegistryClient

from .conftest import TOKEN, StartRegistry

MODEL = "/v1/registry/models/production/m"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", MODEL),
        ("POST", MODEL + "/enable"),
        ("POST", MODEL + "/disable"),
        ("DELETE", "/v1/registry/cache/production/m"),
        ("PUT", "/v1/registry/faults/stale-cache"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer "])
def test_no_change_without_the_token(
    start_registry: StartRegistry, method: str, path: str, authorization: str | None
) -> None:
    registry = start_registry()
    registry.register("production", "m", "a:1")
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = call(method, registry._base_url + path, body={"endpoint": "evil:1"}, headers=headers, timeout_seconds=5)
    assert (answer.status, answer.json()["code"]) == (401, "AUTH_INVALID")
    entry = registry.get("production", "m")
    assert entry is not None
    assert (entry.status, entry.endpoint) == ("ready", "a:1")


def test_a_wrong_token_is_bad_input_for_the_client(start_registry: StartRegistry) -> None:
    registry = RegistryClient(start_registry()._base_url, "wrong")
    assert registry.list() == []
    with pytest.raises(InputError, match="token"):
        registry.register("production", "m", "a:1")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"endpoint": 5}', b'{"endpoint": "a:1", "force": "yes"}', b""])
def test_a_bad_body_is_told_what_is_wrong(start_registry: StartRegistry, body: bytes) -> None:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        start_registry()._base_url + MODEL, body, {"Authorization": f"Bearer {TOKEN}"}, method="PUT"
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert caught.value.code == 400
    assert b"VALIDATION_ERROR" in caught.value.read()
    caught.value.close()


def test_metrics_show_the_status_of_every_entry(start_registry: StartRegistry) -> None:
    registry = start_registry()
    registry.register("production", "m", "a:1")
    registry.disable("production", "m", "bad", "me")
    text = call("GET", registry._base_url + "/metrics", timeout_seconds=5).body.decode()
    labels = 'environment="production",model="m",namespace="system"'
    assert f'model_registry_status{{{labels},status="disabled"}} 1.0' in text
    assert f'model_registry_status{{{labels},status="ready"}} 0.0' in text
    assert 'model_registry_changes_total{cache="none",change="disable"} 1.0' in text


def test_a_registry_that_is_not_there_is_an_unusable_environment() -> None:
    with pytest.raises(EnvironmentUnusable, match="cannot be reached"):
        RegistryClient("http://127.0.0.1:1").list()


def test_other_paths_are_not_found(start_registry: StartRegistry) -> None:
    url = start_registry()._base_url
    assert call("GET", url + "/v1/nothing", timeout_seconds=5).json()["code"] == "NOT_FOUND"
    with pytest.raises(OperationFailed):
        RegistryClient(url + "/elsewhere", TOKEN).register("production", "m", "a:1")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"MODEL_REGISTRY_DATABASE_URL": "sqlite:////tmp/x.db"}, "MODEL_REGISTRY_TOKEN"),
        ({"MODEL_REGISTRY_TOKEN": "t"}, "MODEL_REGISTRY_DATA_DIR"),
        (
            {"MODEL_REGISTRY_TOKEN": "t", "MODEL_REGISTRY_DATABASE_URL": "mysql://h/d"},
            "MODEL_REGISTRY_DATABASE_URL",
        ),
        ({"MODEL_REGISTRY_TOKEN": "t", "MODEL_REGISTRY_DATABASE_URL": "nonsense"}, "MODEL_REGISTRY_DATABASE_URL"),
        ({"HTTP_PORT": "http"}, "HTTP_PORT"),
    ],
)
def test_the_service_refuses_to_start_and_names_the_setting(settings: dict[str, str], named: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.model_registry.server"],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
