"""The provider ``envtest`` on stand-ins: every part but the nodes is a program of its own, behind HTTPS."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kubernetes import client, config
from kubernetes.stream import portforward, stream

from clients.errors import EnvironmentUnusable, InputError
from clients.kube import KubeClient
from cluster.embedded.network.resolver import resolve
from cluster.provider import Cluster
from cluster.providers import provider_of
from cluster.providers.embedded import EmbeddedProvider
from cluster.providers.envtest import EnvtestProvider
from tests.cluster.envtest.standins import NAMES
from tests.cluster.lifecycle.test_a_cluster_lives_and_dies_whole import ask, deploy
from tests.endtoend.harness import gameday, leftovers, run_folder, summary, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(90)]


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    wait_for(lambda: leftovers(tmp_path) == [], seconds=10)


def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(config_file=str(cluster.kubeconfig)))


def pods(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in KubeClient(cluster.kubeconfig).list_objects("pods", "default")]


def test_a_deployment_serves(running: Cluster) -> None:
    deploy(running.kubeconfig)
    answers = {ask(running.kubeconfig) for _ in range(8)}
    assert {answer.split()[0] for answer in answers} == set(pods(running))
    assert running.state_dir is not None
    (address,) = resolve("web.default.svc.cluster.local", running.state_dir)
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        assert answer.read().decode() in answers


def test_the_api_shows_addresses_that_a_real_server_accepts(running: Cluster) -> None:
    deploy(running.kubeconfig)
    kube = KubeClient(running.kubeconfig)
    shown = {pod["status"]["podIP"] for pod in kube.list_objects("pods", "default")}
    (endpoints,) = [s for s in kube.list_objects("endpointslices", "default") if s["metadata"]["name"] != "kubernetes"]
    assert {a for endpoint in endpoints["endpoints"] for a in endpoint["addresses"]} == shown
    assert all(address.startswith("240.") for address in shown)
    real = {ask(running.kubeconfig).split()[1] for _ in range(8)}
    assert {address.replace("127.", "240.", 1) for address in real} == shown


def test_logs_and_commands_come_through_the_node_s_endpoint(running: Cluster) -> None:
    deploy(running.kubeconfig, replicas=1)
    api, (name,) = core(running), pods(running)
    assert api.read_namespaced_pod_log(name, "default") == "serving\n"
    session = stream(
        api.connect_get_namespaced_pod_exec,
        name,
        "default",
        command=["sh", "-c", "read line; echo got $line; echo bad >&2; exit 3"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    session.write_stdin("hello\n")
    session.run_forever(timeout=10)
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("got hello\n", "bad\n", 3)
    with pytest.raises(client.ApiException) as refused:
        api.read_namespaced_pod_log(name, "default", previous=True)
    assert refused.value.status == 400
    assert "previous terminated container" in refused.value.body


def test_ports_are_forwarded_through_the_node_s_endpoint(running: Cluster) -> None:
    deploy(running.kubeconfig, replicas=1)
    (name,) = pods(running)
    forwarded = portforward(core(running).connect_get_namespaced_pod_portforward, name, "default", ports="8000")
    connection: socket.socket = forwarded.socket(8000)
    connection.settimeout(10)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
    assert received.decode().split("\r\n\r\n")[1].startswith(name)


def test_nobody_but_the_api_server_is_let_in(running: Cluster) -> None:
    kube = KubeClient(running.kubeconfig)
    wait_for(lambda: any("addresses" in node["status"] for node in kube.list_objects("nodes")), seconds=10)
    (node,) = kube.list_objects("nodes")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    address = node["status"]["addresses"][0]["address"]
    assert running.state_dir is not None
    pki = running.state_dir / "pki"

    def healthz(*certificate: Path) -> int:
        import requests

        given = tuple(map(str, certificate)) or None
        url = f"https://{address}:{port}/healthz"
        return requests.get(url, verify=str(pki / "ca.crt"), cert=given, timeout=5).status_code

    assert healthz(pki / "kubelet-client.crt", pki / "kubelet-client.key") == 200
    assert healthz(pki / "etcd-client.crt", pki / "etcd-client.key") == 403
    with pytest.raises(OSError):
        healthz()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_however_the_process_ends_nothing_is_left(
    provider: EnvtestProvider, tmp_path: Path, number: signal.Signals
) -> None:
    cluster = provider.up("one", state_dir=tmp_path / "one", detached=False)
    deploy(cluster.kubeconfig, replicas=1)
    status = provider.status(tmp_path / "one")
    assert status is not None
    running = "\n".join(leftovers(tmp_path))
    assert [name for name in NAMES if f"/assets/{name} --" not in running] == []
    os.kill(status.pid, number)
    wait_for(lambda: leftovers(tmp_path) == [], seconds=10)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_ends_ends_the_cluster_and_says_why(
    provider: EnvtestProvider, tmp_path: Path, name: str
) -> None:
    provider.up("one", state_dir=tmp_path / "one", detached=False)
    status = provider.status(tmp_path / "one")
    assert status is not None
    (victim,) = [p for p in psutil.Process(status.pid).children() if f"/assets/{name}" in " ".join(p.cmdline())]
    victim.kill()
    wait_for(lambda: leftovers(tmp_path) == [], seconds=10)
    assert f"{name} ended with code 137: {name} starts" in (tmp_path / "one" / "server.log").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_cannot_start_is_named_with_the_end_of_its_log(
    provider: EnvtestProvider, assets: Path, tmp_path: Path, name: str
) -> None:
    (assets / name).write_text("#!/bin/sh\necho one; echo the flag is unknown >&2; exit 7\n")
    with pytest.raises(EnvironmentUnusable, match=rf"{name} ended with code 7: one \| the flag is unknown"):
        provider.up("one", state_dir=tmp_path / "one", detached=False)


def test_a_start_is_cut_short_by_a_signal(provider: EnvtestProvider, assets: Path, tmp_path: Path) -> None:
    (assets / "kube-apiserver").write_text("#!/bin/sh\necho > $0.started; exec sleep 100\n")

    def stop() -> None:
        wait_for(lambda: (assets / "kube-apiserver.started").exists(), seconds=20)
        (child,) = [child for child in psutil.Process().children() if str(tmp_path / "one") in child.cmdline()]
        child.terminate()

    stopper = threading.Thread(target=stop)
    stopper.start()
    began = time.monotonic()
    with pytest.raises(EnvironmentUnusable):
        provider.up("one", state_dir=tmp_path / "one", detached=False)
    stopper.join()
    assert time.monotonic() - began < 20


def test_missing_programs_are_an_error_of_one_line(
    tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_HOME", str(tmp_path / "home"))
    commands = (("run", "--cluster", "envtest"), ("cluster", "up", "--cluster", "envtest"))
    (assets / "kube-scheduler").unlink()
    (assets / "etcd").chmod(0o644)
    for command in commands:
        ended = gameday(*command, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.startswith("gameday: KUBEBUILDER_ASSETS: there is no program etcd and no kube-scheduler in")
    monkeypatch.delenv("KUBEBUILDER_ASSETS")
    for command in commands:
        ended = gameday(*command, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.startswith("gameday: KUBEBUILDER_ASSETS: is not set (name a folder with etcd,")
        assert ended.stderr.count("\n") == 1


def test_providers_by_name() -> None:
    assert isinstance(provider_of("embedded", image_map=None, config=None, port=7), EmbeddedProvider)
    assert isinstance(provider_of("envtest", image_map=None, config=None), EnvtestProvider)
    for wrong in ({"kind": "kind"}, {"kind": "envtest", "port": 7}):
        with pytest.raises(InputError):
            provider_of(**wrong, image_map=None, config=None)  # type: ignore[arg-type]


def test_the_command_line_leaves_one_running(tmp_path: Path, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_HOME", str(tmp_path / "home"))
    up = gameday("cluster", "up", "--cluster", "envtest", "--name", "real", cwd=tmp_path)
    assert up.returncode == 0, up.stderr
    try:
        assert "running" in gameday("cluster", "status", cwd=tmp_path).stdout
    finally:
        down = gameday("cluster", "down", "real", cwd=tmp_path)
    assert (down.returncode, down.stdout) == (0, "cluster real is down\n")


@pytest.mark.helm
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_game_day_runs_on_it(tmp_path: Path, assets: Path) -> None:
    result = gameday("run", "registry_disabled", "--cluster", "envtest", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    folder = run_folder(tmp_path)
    assert [scenario["verdict"] for scenario in summary(tmp_path)["scenarios"]] == ["PASS"]
    assert summary(tmp_path)["environment"]["cluster"] == "envtest"
    assert {path.stem for path in (folder / "cluster").glob("*.log")} == {"server", *NAMES}
    assert not (folder / "cluster-state").exists()
