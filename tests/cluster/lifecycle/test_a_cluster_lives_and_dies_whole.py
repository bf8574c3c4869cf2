"""The process of an embedded cluster: starting, refusing to start, and leaving nothing behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from clients.errors import EnvironmentUnusable, InputError
from cluster.providers.embedded import EmbeddedProvider
from tests.cluster.lifecycle.conftest import ask, deploy
from tests.endtoend.harness import environment, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(60)]


def test_two_clusters_side_by_side_do_not_collide(provider: EmbeddedProvider, tmp_path: Path) -> None:
    first = provider.up("one", state_dir=tmp_path / "one", detached=False)
    second = provider.up("two", state_dir=tmp_path / "two", detached=False)
    try:
        for cluster in (first, second):
            deploy(cluster.kubeconfig)
        seen = [{ask(cluster.kubeconfig) for _ in range(8)} for cluster in (first, second)]
        assert [len(pods) for pods in seen] == [2, 2]  # balanced over both pods
        assert not seen[0] & seen[1]
    finally:
        for name in ("one", "two"):
            provider.down(tmp_path / name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_however_the_process_ends_its_containers_end_too(
    provider: EmbeddedProvider, tmp_path: Path, number: signal.Signals
) -> None:
    cluster = provider.up("one", state_dir=tmp_path / "one", detached=False)
    deploy(cluster.kubeconfig)
    running = provider.status(tmp_path / "one")
    assert running is not None
    children = psutil.Process(running.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(running.pid, number)
    _, alive = psutil.wait_procs(children, timeout=8)
    assert alive == []
    if number is signal.SIGTERM:
        wait_for(lambda: not (tmp_path / "one" / "cluster.json").exists(), seconds=5)


def test_a_cluster_dies_with_the_process_that_started_it(image_map: Path, tmp_path: Path) -> None:
    code = f"""
    import pathlib, time
    from cluster.providers.embedded import EmbeddedProvider
    folder = pathlib.Path({str(tmp_path)!r})
    EmbeddedProvider(folder / {image_map.name!r}).up("x", state_dir=folder / "x", detached=False)
    print("up", flush=True)
    time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()


def test_a_component_that_breaks_ends_the_cluster_and_says_so(tmp_path: Path) -> None:
    code = """
    import sys
    import cluster.embedded.scheduler as scheduler
    async def broken(client):
        raise RuntimeError("the scheduler has a bug")
    scheduler.run_scheduler = broken
    from cluster.embedded.server import main
    main()
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), "--state-dir", str(tmp_path / "x")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert process.returncode == 1
    assert "a component broke: RuntimeError: the scheduler has a bug" in process.stderr


def test_a_broken_image_map_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("images: 7")
    with pytest.raises(EnvironmentUnusable, match=r"broken\.yaml: images"):
        EmbeddedProvider(path).up("x", state_dir=tmp_path / "x", detached=False)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("nodes: [{name: a, gpu: 4}]", r"config\.yaml: nodes\[0\].*unknown key 'gpu'"),
        ("restart_backoff_base_seconds: -1", r"config\.yaml: restart_backoff_base_seconds"),
        ("nodes: [", r"config\.yaml"),
    ],
)
def test_a_broken_config_is_refused_by_file_and_key(tmp_path: Path, content: str, where: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=where):
        EmbeddedProvider(config=path).up("x", state_dir=tmp_path / "x", detached=False)


def test_a_second_start_is_refused_and_a_dead_cluster_is_recognised(provider: EmbeddedProvider, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    provider.up("one", state_dir=folder, detached=False)
    with pytest.raises(InputError, match="runs already"):
        provider.up("one", state_dir=folder, detached=False)
    running = provider.status(folder)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not (status := provider.status(folder)) or not status.running, seconds=5)
    provider.up("one", state_dir=folder, detached=False)
    provider.down(folder)


def test_nobody_gets_in_without_the_token_and_the_token_is_nowhere_to_be_seen(
    provider: EmbeddedProvider, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    cluster = provider.up("one", state_dir=folder, detached=False)
    try:
        content = json.loads(cluster.kubeconfig.read_text())
        token, server = content["users"][0]["user"]["token"], content["clusters"][0]["cluster"]["server"]
        for headers, code, reason in (({}, 403, "Forbidden"), ({"Authorization": "Bearer wrong"}, 401, "Unauthorized")):
            request = urllib.request.Request(f"{server}/api/v1/pods", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=5)
            assert caught.value.code == code
            assert json.loads(caught.value.read())["reason"] == reason
        assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        running = provider.status(folder)
        assert running is not None
        assert token not in " ".join(psutil.Process(running.pid).cmdline())
        assert token not in (folder / "server.log").read_text()
    finally:
        provider.down(folder)
