"""The recording proxy before a real API server: what passes, what is recorded, what is disturbed."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from clients.errors import Conflict, EnvironmentUnusable, OperationFailed
from clients.kube import KubeClient
from cluster.providers.embedded import EmbeddedProvider
from gameday.intercept.calls import Call
from gameday.intercept.gate import Gate
from gameday.intercept.proxy import Disturbance

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    state = tmp_path_factory.mktemp("gate")
    provider = EmbeddedProvider()
    yield provider.up("gate", state_dir=state, detached=False).kubeconfig
    provider.down(state)


@pytest.fixture
def gate(kubeconfig: Path) -> Iterator[Gate]:
    gate = Gate(kubeconfig, "default")
    gate.open()
    yield gate
    gate.close()


def configmap(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": {"k": "v"}}


def test_calls_pass_unchanged_and_are_recorded_with_their_status(gate: Gate, kubeconfig: Path) -> None:
    kube = KubeClient(gate.kubeconfig)
    kube.create("configmaps", "default", configmap("passes"))
    with pytest.raises(Conflict):
        kube.create("configmaps", "default", configmap("passes"))
    assert kube.read("configmaps", "default", "passes") == KubeClient(kubeconfig).read(
        "configmaps", "default", "passes"
    )
    assert [(c.verb, c.resource, c.status) for c in gate.calls] == [
        ("create", "configmaps", 201),
        ("create", "configmaps", 409),
        ("get", "configmaps", 200),
    ]
    assert gate.identity == "the kubeconfig's own user"


def test_a_watch_streams_through_it(gate: Gate, kubeconfig: Path) -> None:
    seen = threading.Event()

    def watch() -> None:
        for found in KubeClient(gate.kubeconfig).watch("configmaps", "default", timeout_seconds=10):
            if found["metadata"]["name"] == "watched":
                seen.set()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    KubeClient(kubeconfig).create("configmaps", "default", configmap("watched"))
    assert seen.wait(5)
    thread.join()


def test_nobody_without_its_token_gets_through(gate: Gate, tmp_path: Path) -> None:
    stolen = yaml.safe_load(gate.kubeconfig.read_text())
    stolen["users"][0]["user"]["token"] = "guessed"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(stolen))
    with pytest.raises(EnvironmentUnusable, match="401"):
        KubeClient(path).list_objects("pods", "default")
    assert gate.calls == []
    assert gate.kubeconfig.stat().st_mode & 0o077 == 0


def test_it_speaks_tls_only_as_clients_send_no_token_without(gate: Gate) -> None:
    parts = urlsplit(yaml.safe_load(gate.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    assert parts.scheme == "https"
    assert parts.hostname == "127.0.0.1"
    plain = http.client.HTTPConnection(parts.hostname, parts.port or 0, timeout=5)
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.request("GET", "/version")
        plain.getresponse()
    plain.close()


@pytest.mark.parametrize(("status", "error"), [(409, Conflict), (429, OperationFailed), (500, OperationFailed)])
def test_a_call_can_be_refused_on_purpose_and_is_then_not_carried_out(gate, kubeconfig, status, error) -> None:
    gate.disturb_with(lambda call: Disturbance(status=status) if call.writes else None)
    with pytest.raises(error, match="disturbed on purpose"):
        KubeClient(gate.kubeconfig).create("configmaps", "default", configmap(f"refused-{status}"))
    assert KubeClient(kubeconfig).read("configmaps", "default", f"refused-{status}") is None
    assert gate.calls[-1].status == status


def test_a_call_can_be_delayed(gate: Gate) -> None:
    gate.disturb_with(lambda _: Disturbance(delay_seconds=0.4))
    began = time.monotonic()
    KubeClient(gate.kubeconfig).list_objects("pods", "default")
    assert time.monotonic() - began >= 0.4


def test_a_watch_can_be_cut_in_the_middle(gate: Gate, kubeconfig: Path) -> None:
    KubeClient(kubeconfig).create("configmaps", "default", configmap("cut"))

    def cut(call: Call) -> Disturbance | None:
        return Disturbance(cut_after_bytes=1) if call.verb == "watch" else None

    gate.disturb_with(cut)
    began = time.monotonic()
    with pytest.raises(EnvironmentUnusable):
        list(KubeClient(gate.kubeconfig).watch("configmaps", "default", timeout_seconds=30))
    assert time.monotonic() - began < 10


def test_nothing_is_left_of_it(kubeconfig: Path) -> None:
    gate = Gate(kubeconfig, "default")
    gate.open()
    path = gate.kubeconfig
    server = urlsplit(yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"])
    gate.close()
    assert not path.exists()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(server.hostname or "", server.port or 0, timeout=2).connect()
