"""Programs with the names and flags of a real control plane, and our own parts behind them.

They accept exactly the flags that they are given by ``cluster.envtest.flags``, use them all, and refuse any other.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import ipaddress
import signal
import ssl
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from cluster.embedded.apiserver import access
from cluster.embedded.apiserver.authentication.authenticator import Authenticator
from cluster.embedded.apiserver.authentication.service_accounts import ISSUER
from cluster.embedded.apiserver.authorization.attributes import AUTHENTICATED, User
from cluster.embedded.apiserver.bootstrap import bootstrap
from cluster.embedded.apiserver.http import ApiServer
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.status import failure
from cluster.embedded.apiserver.tls import TlsFiles
from cluster.embedded.client import ApiClient
from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
from cluster.embedded.http_client import HttpClient
from cluster.embedded.kubeconfig import Credentials
from cluster.embedded.resources import CLUSTER_ROLE_BINDINGS, ENDPOINT_SLICES, ENDPOINTS, Object, Resource
from cluster.embedded.scheduler import run_scheduler
from cluster.embedded.store import Store
from tests.cluster.envtest.kubelet_client import KubeletStreams

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_ETCD = (
    "name", "data-dir", "listen-client-urls", "advertise-client-urls", "listen-peer-urls",
    "initial-advertise-peer-urls", "initial-cluster", "client-cert-auth", "trusted-ca-file", "cert-file", "key-file",
    "peer-client-cert-auth", "peer-trusted-ca-file", "peer-cert-file", "peer-key-file", "unsafe-no-fsync",
)  # fmt: skip
_APISERVER = (
    "bind-address", "secure-port", "advertise-address", "tls-cert-file", "tls-private-key-file", "client-ca-file",
    "token-auth-file", "authorization-mode", "etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile",
    "service-cluster-ip-range", "service-account-issuer", "service-account-key-file",
    "service-account-signing-key-file", "kubelet-certificate-authority", "kubelet-client-certificate",
    "kubelet-client-key", "kubelet-preferred-address-types", "allow-privileged",
)  # fmt: skip
_COMPONENT = (
    "kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig", "bind-address", "secure-port",
    "tls-cert-file", "tls-private-key-file", "leader-elect",
)  # fmt: skip
_MANAGER = (*_COMPONENT, "root-ca-file", "service-account-private-key-file", "use-service-account-credentials")
_SECRET = ("key", "tokens", "kubeconfig")


def write_programs(folder: Path) -> Path:
    """Make the four executables in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        function = name.replace("-", "_")
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.cluster.envtest.standins import {function}\n{function}(sys.argv[1:])\n"
        )
        program.chmod(0o755)
    return folder


def etcd(arguments: list[str]) -> None:
    """Listens with TLS for holders of a client certificate, and stores nothing."""
    given = _parse("etcd", _ETCD, arguments)
    assert given["initial_cluster"] == f"default={given['initial_advertise_peer_urls']}"
    assert given["advertise_client_urls"] == given["listen_client_urls"]
    tls = _server_context(given["cert_file"], given["key_file"])
    tls.load_verify_locations(given["trusted_ca_file"])
    tls.verify_mode = ssl.CERT_REQUIRED
    client, peer = (urlsplit(given[key]) for key in ("listen_client_urls", "listen_peer_urls"))

    async def serve() -> None:
        for at in (client, peer):
            await asyncio.start_server(lambda _, writer: writer.close(), at.hostname, at.port, ssl=tls)

    _run(serve())


def kube_apiserver(arguments: list[str]) -> None:
    """Our API server; it refuses endpoints on loopback, as a real one does, and reaches nodes over the network."""
    given = _parse("kube-apiserver", _APISERVER, arguments)
    assert not ipaddress.ip_address(given["advertise_address"]).is_loopback
    assert given["authorization_mode"] == "Node,RBAC"
    users = _users(Path(given["token_auth_file"]))
    access.Authenticator = lambda token, tokens: _StaticTokens(users, token, tokens)  # type: ignore[assignment,misc]
    services = ipaddress.IPv4Network(given["service_cluster_ip_range"])
    free = services.hosts()
    registry = _StrictRegistry(
        Store(), service_addresses=lambda: str(next(free)), service_range=services, service_accounts=True
    )
    kubelets = ssl.create_default_context(cafile=given["kubelet_certificate_authority"])
    kubelets.load_cert_chain(given["kubelet_client_certificate"], given["kubelet_client_key"])
    streams = KubeletStreams(lambda resource, namespace, name: registry.get(resource, namespace, name), kubelets)
    ca = Path(given["client_ca_file"]).read_text()
    tls = TlsFiles(ca, Path(given["tls_cert_file"]), Path(given["tls_private_key_file"]))
    api = ApiServer(registry, token="", tls=tls, pod_streams=streams)

    async def serve() -> None:
        await _reach_etcd(given)
        await api.start(given["bind_address"], int(given["secure_port"]))
        bootstrap(registry, api_port=int(given["secure_port"]), api_address=given["advertise_address"])
        registry.create(CLUSTER_ROLE_BINDINGS, _components_may_do_everything())

    _run(serve(), api.stop)


def kube_controller_manager(arguments: list[str]) -> None:
    """Our controllers."""
    given = _parse("kube-controller-manager", _MANAGER, arguments)
    settings = ControllerSettings(ca_pem=Path(given["root_ca_file"]).read_text())
    _component(given, lambda client: run_controllers(client, settings))


def kube_scheduler(arguments: list[str]) -> None:
    """Our scheduler."""
    _component(_parse("kube-scheduler", _COMPONENT, arguments), run_scheduler)


def _parse(program: str, names: tuple[str, ...], arguments: list[str]) -> dict[str, str]:
    """All flags, each exactly once; the files that they name must exist and secrets must be private."""
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    given: dict[str, str] = vars(parser.parse_args(arguments))
    assert len(arguments) == len(names), "a flag is given twice"
    for key, value in given.items():
        if value.startswith("/") and key != "data_dir":
            mode = Path(value).stat().st_mode
            assert not any(word in value for word in _SECRET) or not stat.S_IMODE(mode) & 0o077, (
                f"{value} is not private"
            )
    print(f"{program} starts", flush=True)
    return given


class _StrictRegistry(Registry):
    def create(self, resource: Resource, obj: Object, **options: Any) -> Object:
        _refuse_loopback(resource, obj)
        return super().create(resource, obj, **options)

    def update(self, resource: Resource, obj: Object, **options: Any) -> Object:
        _refuse_loopback(resource, obj)
        return super().update(resource, obj, **options)


def _refuse_loopback(resource: Resource, obj: Object) -> None:
    found: list[str] = []
    if resource is ENDPOINT_SLICES:
        found = [address for endpoint in obj.get("endpoints") or [] for address in endpoint["addresses"]]
    if resource is ENDPOINTS:
        found = [address["ip"] for subset in obj.get("subsets") or [] for address in subset.get("addresses") or []]
    for address in found:
        if ipaddress.ip_address(address).is_loopback:
            message = f'Invalid value: "{address}": may not be in the loopback range (127.0.0.0/8, ::1/128)'
            raise failure(422, "Invalid", message)


class _StaticTokens(Authenticator):
    """``--token-auth-file`` beside the tokens of ServiceAccounts."""

    __slots__ = ("users",)

    def __init__(self, users: dict[str, User], token: str, tokens: Any) -> None:
        super().__init__(token, tokens)
        object.__setattr__(self, "users", users)

    def authenticate(self, token: str, audiences: frozenset[str] = frozenset({ISSUER})) -> User:
        known: dict[str, User] = self.users
        return known[token] if token in known else self.tokens.authenticate(token, audiences)


def _users(path: Path) -> dict[str, User]:
    with path.open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 4
    return {
        token: User(name, (*("".join(groups).split(",") if groups else ()), AUTHENTICATED), uid)
        for token, name, uid, *groups in rows
    }


def _components_may_do_everything() -> Object:
    """A real server has a role for each component; ours has only one that suffices."""
    names = ("system:kube-controller-manager", "system:kube-scheduler")
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": "stand-ins"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name} for name in names],
    }


async def _reach_etcd(given: dict[str, str]) -> None:
    at = urlsplit(given["etcd_servers"])
    tls = ssl.create_default_context(cafile=given["etcd_cafile"])
    tls.load_cert_chain(given["etcd_certfile"], given["etcd_keyfile"])
    async with asyncio.timeout(20):
        while True:
            with suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection(at.hostname, at.port, ssl=tls)
                assert await reader.read() == b""
                writer.close()
                return
            await asyncio.sleep(0.05)


def _component(given: dict[str, str], work: Callable[[ApiClient], Coroutine[Any, Any, None]]) -> None:
    """Works with the kubeconfig, and is healthy meanwhile."""
    assert given["leader_elect"] == "false"
    credentials = Credentials.load(Path(given["kubeconfig"]))
    tasks: list[asyncio.Task[None]] = []

    async def healthy(request: web.BaseRequest) -> web.Response:
        return web.Response(text="ok", status=200 if request.path == "/healthz" else 404)

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(healthy))
        await runner.setup()
        tls = _server_context(given["tls_cert_file"], given["tls_private_key_file"])
        await web.TCPSite(runner, given["bind_address"], int(given["secure_port"]), ssl_context=tls).start()
        tasks.append(asyncio.create_task(_with_client(credentials, work)))

    _run(serve())


async def _with_client(credentials: Credentials, work: Callable[[ApiClient], Coroutine[Any, Any, None]]) -> None:
    async with HttpClient(credentials) as client:
        await work(client)


def _server_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _run(start: Awaitable[None], stop: Callable[[], Awaitable[None]] | None = None) -> None:
    """Serve until SIGTERM."""

    @asynccontextmanager
    async def stopped() -> Any:
        try:
            yield
        finally:
            if stop:
                await stop()

    async def main() -> None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        async with stopped():
            await start
            await told.wait()

    asyncio.run(main())
