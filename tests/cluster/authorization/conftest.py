"""A running API server, and its users: each with a client and a kubeconfig of its own."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from cluster.embedded.apiserver.auth import kubeconfig
from cluster.embedded.apiserver.bootstrap import bootstrap
from cluster.embedded.apiserver.http import ApiServer
from cluster.embedded.apiserver.pod_streams import ExecSession, LogOptions, PodConnection, PortUnreachable
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.tls import create_tls_files
from cluster.embedded.resources import NAMESPACES, SERVICE_ACCOUNTS
from cluster.embedded.store import Store

ADMIN_TOKEN = "the-token-of-the-cluster"
NAMESPACE = "system"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CORE = f"/api/v1/namespaces/{NAMESPACE}"


class OneLine:
    """Logs of one line; whatever is executed is refused after authorization."""

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        yield b"a line\n"

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        raise failure(400, "BadRequest", "nothing can be executed here")

    async def reach(self, namespace: str, pod: str) -> None:
        """Every pod can be reached."""

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        raise failure(400, "BadRequest", "nothing can be attached to here")

    async def connect(self, namespace: str, pod: str, port: int) -> PodConnection:
        raise PortUnreachable("nothing listens here")


@dataclass
class Caller:
    """Somebody with a token (or without one)."""

    url: str
    ca_file: Path
    token: str
    session: requests.Session

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        return self.session.request(method, f"{self.url}{path}", json=body, headers=sent, timeout=10)

    def create(self, path: str, body: Any) -> Any:
        """POST that must succeed; the answer."""
        response = self("POST", path, body)
        assert response.status_code == 201, response.text
        return response.json()

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig with this token."""
        path = folder / "kubeconfig"
        path.write_text(kubeconfig(self.url, self.ca_file.read_text(), self.token, "test"))
        path.chmod(0o600)
        return path


@dataclass
class Cluster:
    """A server that runs in a thread of its own."""

    url: str
    ca_file: Path
    registry: Registry
    loop: asyncio.AbstractEventLoop
    session: requests.Session

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in the server's event loop."""

        async def run() -> Any:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def caller(self, token: str) -> Caller:
        return Caller(self.url, self.ca_file, token, self.session)

    @property
    def admin(self) -> Caller:
        return self.caller(ADMIN_TOKEN)

    def account(self, name: str, *, namespace: str = NAMESPACE, **token_spec: Any) -> Caller:
        """The caller that a ServiceAccount's token is; makes the account when there is none."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.admin("POST", accounts, {"metadata": {"name": name}})
        answered = self.admin.create(f"{accounts}/{name}/token", {"spec": token_spec})
        return self.caller(answered["status"]["token"])

    def bound(self, name: str, *rules: Any, namespace: str = NAMESPACE) -> Caller:
        """A ServiceAccount with a Role of exactly these rules."""
        scope = f"{RBAC}/namespaces/{namespace}"
        caller = self.account(name, namespace=namespace)
        self.admin.create(f"{scope}/roles", {"metadata": {"name": name}, "rules": list(rules)})
        self.admin.create(f"{scope}/rolebindings", role_binding(name, "Role", name, account(name, namespace)))
        return caller


def account(name: str, namespace: str = NAMESPACE) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def role_binding(name: str, kind: str, role: str, *subjects: dict[str, str]) -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": list(subjects)}


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> dict[str, Any]:
    """A PolicyRule from space-separated words; no group is the core group."""
    made: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": groups.split() or [""], "resources": resources.split()}
    return {**made, "resourceNames": names.split()} if names else made


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for all tests; each test that needs objects makes its own names or namespaces."""
    yield from _running(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A server of the test's own."""
    yield from _running(tmp_path)


def _running(folder: Path) -> Iterator[Cluster]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    tls, registry = create_tls_files(folder), Registry(Store())
    server = ApiServer(registry, token=ADMIN_TOKEN, tls=tls, pod_streams=OneLine(), bookmark_period_seconds=0.2)

    async def start() -> int:
        port = await server.start()
        bootstrap(registry)
        for namespace in (NAMESPACE, "other"):
            registry.create(NAMESPACES, {"metadata": {"name": namespace}})
            registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": namespace}})
        return port

    port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    ca_file = folder / "ca.crt"
    ca_file.write_text(tls.ca_pem)
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(ca_file)
        yield Cluster(f"https://127.0.0.1:{port}", ca_file, registry, loop, session)
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@dataclass
class Kubectl:
    """kubectl as one user."""

    program: str
    config: Path
    home: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "KUBECONFIG": str(self.config), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [self.program, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
        )


@pytest.fixture
def kubectl(tmp_path: Path) -> Callable[[Caller], Kubectl]:
    """Makes a kubectl for a caller."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")

    def make(caller: Caller) -> Kubectl:
        return Kubectl(program, caller.kubeconfig(tmp_path), tmp_path)

    return make
