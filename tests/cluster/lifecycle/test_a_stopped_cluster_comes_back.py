"""A cluster that was stopped, or killed, comes back with its objects, at the same address, and runs its pods again."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.errors import EnvironmentUnusable, InputError
from clients.kube import KubeClient
from cluster.embedded.persistence import FILE
from cluster.providers.embedded import EmbeddedProvider
from tests.cluster.lifecycle.conftest import ask, deploy
from tests.endtoend.harness import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


@pytest.fixture
def state_dir(tmp_path: Path, provider: EmbeddedProvider) -> Iterator[Path]:
    """The folder of a cluster that is stopped after the test."""
    folder = tmp_path / "kept"
    yield folder
    provider.down(folder)


def up(provider: EmbeddedProvider, state_dir: Path) -> Path:
    return provider.up("kept", state_dir=state_dir, detached=True).kubeconfig


def core(kubeconfig: Path) -> Any:
    from kubernetes import client, config

    return client.CoreV1Api(config.new_client_from_config(config_file=str(kubeconfig)))


def pods(kubeconfig: Path) -> list[Any]:
    found: list[Any] = core(kubeconfig).list_namespaced_pod("default", label_selector="app=web").items
    return found


def are_ready(kubeconfig: Path, restarts: int) -> bool:
    statuses = [status for pod in pods(kubeconfig) for status in pod.status.container_statuses or []]
    return len(statuses) == 2 and all(status.ready and status.restart_count == restarts for status in statuses)


def test_a_stopped_cluster_comes_back_as_it_was(provider: EmbeddedProvider, state_dir: Path) -> None:
    kubeconfig = up(provider, state_dir)
    deploy(kubeconfig)
    body = {"metadata": {"name": "note"}, "data": {"k": "v"}}
    note = core(kubeconfig).create_namespaced_config_map("default", body)
    before, access = {pod.metadata.uid for pod in pods(kubeconfig)}, kubeconfig.read_text()
    service = KubeClient(kubeconfig).read("services", "default", "web")
    provider.down(state_dir)
    status = provider.status(state_dir)
    assert status is not None
    assert not status.running
    assert stat.S_IMODE((state_dir / FILE).stat().st_mode) == 0o600
    up(provider, state_dir)
    assert kubeconfig.read_text() == access
    again = core(kubeconfig).read_namespaced_config_map("note", "default")
    assert (again.metadata.uid, again.metadata.resource_version) == (note.metadata.uid, note.metadata.resource_version)
    assert KubeClient(kubeconfig).read("services", "default", "web") == service
    wait_for(lambda: are_ready(kubeconfig, restarts=1), seconds=30)
    assert {pod.metadata.uid for pod in pods(kubeconfig)} == before
    [last] = {pod.status.container_statuses[0].last_state.terminated.reason for pod in pods(kubeconfig)}
    assert last == "Unknown"
    wait_for(lambda: ask(kubeconfig).startswith("web-"), seconds=10)
    fresh = core(kubeconfig).create_namespaced_config_map("default", {"metadata": {"name": "later"}})
    assert int(fresh.metadata.resource_version) > int(note.metadata.resource_version)


def test_a_killed_cluster_loses_a_few_seconds_at_most(provider: EmbeddedProvider, state_dir: Path) -> None:
    kubeconfig = up(provider, state_dir)
    core(kubeconfig).create_namespaced_config_map("default", {"metadata": {"name": "note"}})
    wait_for(lambda: (state_dir / FILE).exists() and b'"note"' in (state_dir / FILE).read_bytes(), seconds=15)
    status = provider.status(state_dir)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    wait_for(lambda: not provider.status(state_dir).running, seconds=10)  # type: ignore[union-attr]
    up(provider, state_dir)
    assert core(kubeconfig).read_namespaced_config_map("note", "default").metadata.name == "note"


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": 99}), json.dumps({"format": 1, "version": 3})])
def test_a_state_that_cannot_be_used_is_left_alone(provider: EmbeddedProvider, state_dir: Path, content: str) -> None:
    state_dir.mkdir()
    (state_dir / FILE).write_text(content)
    with pytest.raises(InputError, match="the cluster's state"):
        up(provider, state_dir)
    assert (state_dir / FILE).read_text() == content


def test_a_cluster_that_cannot_have_its_port_again_says_so(
    provider: EmbeddedProvider, state_dir: Path, tmp_path: Path
) -> None:
    up(provider, state_dir)
    status = provider.status(state_dir)
    assert status is not None
    provider.down(state_dir)
    other = EmbeddedProvider(provider.image_map, port=int(status.server.rpartition(":")[2]))
    other.up("other", state_dir=tmp_path / "other", detached=False)
    try:
        with pytest.raises(EnvironmentUnusable, match="port is in use"):
            up(provider, state_dir)
    finally:
        other.down(tmp_path / "other")
