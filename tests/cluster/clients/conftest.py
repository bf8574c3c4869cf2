"""One cluster of two nodes for all tests of real clients; each test has a namespace of its own.

``GAMEDAY_TEST_PROVIDER=envtest`` takes the control plane in ``KUBEBUILDER_ASSETS`` instead of the embedded one.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.providers import provider_of
from tests.cluster.clients.manifests import IMAGES, NODES

KUBECTL = shutil.which("kubectl")
PROVIDER = os.environ.get("GAMEDAY_TEST_PROVIDER", "embedded")
_NAMES = itertools.count(1)
_RUN_SECONDS = 40


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these start a cluster; those that take the fixture ``kubectl`` are skipped where there is none."""
    for item in items:
        if Path(__file__).parent not in Path(item.path).parents:
            continue
        item.add_marker(pytest.mark.cluster)
        if PROVIDER != "embedded" and Path(item.path).stem == "test_metrics":
            item.add_marker(pytest.mark.skip(reason="only the embedded cluster measures usage: no metrics-server"))
        if KUBECTL is None and "kubectl" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="kubectl is not on PATH; install it to run these"))


@dataclass
class Completed:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Kubectl:
    """kubectl in one namespace."""

    kubeconfig: Path
    namespace: str
    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)}

    def command(self, *arguments: str) -> list[str]:
        return [str(KUBECTL), "-n", self.namespace, *arguments]

    def __call__(self, *arguments: str, stdin: str | None = None) -> Completed:
        """Run to the end, whatever that is."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of a command that must succeed."""
        done = self(*arguments, stdin=stdin)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.code}\n{done.out}{done.err}"
        return done.out

    @contextmanager
    def running(self, *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
        """A command that runs inside the block."""
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        process = subprocess.Popen(
            self.command(*arguments), env=self.environment, cwd=self.folder, text=True, bufsize=1, **given
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=10)


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of the cluster."""
    folder = tmp_path_factory.mktemp("clients")
    for name, text in IMAGES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (folder / "cluster.yaml").write_text(NODES)
    provider = provider_of(PROVIDER, image_map=folder / "images.yaml", config=folder / "cluster.yaml")
    state = folder / "state"
    up = provider.up("clients", state_dir=state, detached=False)
    assert up.kubeconfig is not None
    yield up.kubeconfig
    provider.down(state)


@pytest.fixture(scope="session")
def kube(kubeconfig: Path) -> Iterator[Any]:
    """An ApiClient of the Python kubernetes client."""
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as api_client:
        yield api_client


@pytest.fixture
def namespace(kube: Any) -> Iterator[str]:
    """A namespace that is deleted after the test, with its pods at once."""
    from kubernetes import client

    core, name = client.CoreV1Api(kube), f"t{next(_NAMES)}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)
    core.delete_collection_namespaced_pod(name, grace_period_seconds=0)


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str, tmp_path: Path) -> Kubectl:
    return Kubectl(kubeconfig, namespace, tmp_path)


def wait_for(holds: Callable[[], object], what: str, *, seconds: float = 15) -> None:
    """Wait until a condition of something outside holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
