"""Certificates, tokens and kubeconfigs of a control plane."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.embedded.apiserver.auth import kubeconfig, new_token
from cluster.embedded.apiserver.tls import (
    CertificateAuthority,
    TlsFiles,
    private_key_pem,
    write_private,
    write_tls_files,
)
from cluster.embedded.kubeconfig import Credentials

MASTERS = "system:masters"
ADMIN, NODE_AGENT = "admin", "gameday:node-agent"
CONTROLLER_MANAGER, SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""Whom the nodes let in."""

_USERS = {ADMIN: (MASTERS,), NODE_AGENT: (MASTERS,), CONTROLLER_MANAGER: (), SCHEDULER: ()}
"""Users and their groups. The node agent serves several nodes and every Secret of their pods: more than the role of one
node, which the Node authorizer grants object by object."""


@dataclass(frozen=True, slots=True)
class ControlPlaneFiles:
    """What was written into ``folder`` (mode 0600).

    Attributes:
        ca: the certificate of the authority that issued all others.
        apiserver, etcd, etcd_client, components, kubelet, kubelet_client: certificates with their keys.
        service_account_key: the private key that signs the tokens of ServiceAccounts.
        tokens: the static tokens (``--token-auth-file``).
    """

    folder: Path
    ca: Path
    ca_pem: str
    apiserver: TlsFiles
    etcd: TlsFiles
    etcd_client: TlsFiles
    components: TlsFiles
    kubelet: TlsFiles
    kubelet_client: TlsFiles
    service_account_key: Path
    tokens: Path
    token_of: dict[str, str]

    @classmethod
    def create(cls, folder: Path, address: str, kubelet_addresses: tuple[str, ...], *names: str) -> ControlPlaneFiles:
        """Make everything anew.

        Args:
            address: of the control plane.
            kubelet_addresses: of the nodes.
            names: further addresses by which clients reach the API server.
        """
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        authority, tokens = CertificateAuthority(), {user: new_token() for user in _USERS}
        issued = {
            "apiserver": authority.server("kube-apiserver", address, *names),
            # etcd connects to itself with the certificate that it serves.
            "etcd": authority.server("etcd", address, also_client=True),
            "etcd-client": authority.client("kube-apiserver-etcd-client"),
            "components": authority.server("kube-components", address),
            "kubelet": authority.server("kubelet", *kubelet_addresses),
            "kubelet-client": authority.client(KUBELET_CLIENT, MASTERS),
        }
        tls = {stem: write_tls_files(folder, stem, pair, authority.pem) for stem, pair in issued.items()}
        write_private(folder / "ca.crt", authority.pem)
        write_private(folder / "service-account.key", _signing_key())
        write_private(folder / "tokens.csv", _token_file(tokens))
        return cls(
            folder=folder,
            ca=folder / "ca.crt",
            ca_pem=authority.pem,
            apiserver=tls["apiserver"],
            etcd=tls["etcd"],
            etcd_client=tls["etcd-client"],
            components=tls["components"],
            kubelet=tls["kubelet"],
            kubelet_client=tls["kubelet-client"],
            service_account_key=folder / "service-account.key",
            tokens=folder / "tokens.csv",
            token_of=tokens,
        )

    def credentials(self, server: str, user: str) -> Credentials:
        """What that user needs to talk to the API server."""
        return Credentials(server, self.ca_pem, self.token_of[user])

    def write_kubeconfig(self, path: Path, server: str, user: str, name: str) -> Path:
        """A kubeconfig of that user."""
        write_private(path, kubeconfig(server, self.ca_pem, self.token_of[user], name))
        return path


def _token_file(tokens: dict[str, str]) -> str:
    """CSV: token, user, uid, groups (kubernetes.io, "Static token file")."""
    lines = []
    for user, groups in _USERS.items():
        joined = ",".join(groups)
        lines.append(f'{tokens[user]},{user},{user},"{joined}"' if groups else f"{tokens[user]},{user},{user}")
    return "\n".join(lines) + "\n"


def _signing_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec

    return private_key_pem(ec.generate_private_key(ec.SECP256R1()))
