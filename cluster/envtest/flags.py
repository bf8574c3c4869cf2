"""The command lines of the four programs. Pure.

Sources: kubernetes.io/docs/reference/command-line-tools-reference (v1.36), etcd.io/docs (v3.6, configuration).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.embedded.apiserver.tls import TlsFiles
from cluster.envtest.files import ControlPlaneFiles

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the programs listen, all on one address.

    Attributes:
        address: a loopback address.
        advertised: the address of the API server in the endpoints of ``default/kubernetes``; not a loopback one, since
            the API server refuses those.
        services: the range of ClusterIPs, in CIDR notation.
        etcd, etcd_peer, apiserver, controller_manager, scheduler: ports.
    """

    address: str
    advertised: str
    services: str
    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{self.apiserver}"

    @property
    def etcd_url(self) -> str:
        """The URL of etcd for its clients."""
        return f"https://{self.address}:{self.etcd}"


def etcd(places: Places, files: ControlPlaneFiles, data: Path) -> list[str]:
    """Flags of etcd: one member, which speaks to holders of our certificates only."""
    peer = f"https://{places.address}:{places.etcd_peer}"
    return [
        "--name=default",
        f"--data-dir={data}",
        f"--listen-client-urls={places.etcd_url}",
        f"--advertise-client-urls={places.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--client-cert-auth=true",
        f"--trusted-ca-file={files.ca}",
        f"--cert-file={files.etcd.certificate}",
        f"--key-file={files.etcd.key}",
        "--peer-client-cert-auth=true",
        f"--peer-trusted-ca-file={files.ca}",
        f"--peer-cert-file={files.etcd.certificate}",
        f"--peer-key-file={files.etcd.key}",
        "--unsafe-no-fsync=true",
    ]


def apiserver(places: Places, files: ControlPlaneFiles) -> list[str]:
    """Flags of kube-apiserver."""
    return [
        f"--bind-address={places.address}",
        f"--secure-port={places.apiserver}",
        f"--advertise-address={places.advertised}",
        f"--tls-cert-file={files.apiserver.certificate}",
        f"--tls-private-key-file={files.apiserver.key}",
        f"--client-ca-file={files.ca}",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=Node,RBAC",
        f"--etcd-servers={places.etcd_url}",
        f"--etcd-cafile={files.ca}",
        f"--etcd-certfile={files.etcd_client.certificate}",
        f"--etcd-keyfile={files.etcd_client.key}",
        f"--service-cluster-ip-range={places.services}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={files.service_account_key}",
        f"--service-account-signing-key-file={files.service_account_key}",
        f"--kubelet-certificate-authority={files.ca}",
        f"--kubelet-client-certificate={files.kubelet_client.certificate}",
        f"--kubelet-client-key={files.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
    ]


def controller_manager(places: Places, files: ControlPlaneFiles, kubeconfig: Path) -> list[str]:
    """Flags of kube-controller-manager. Each controller acts as its own ServiceAccount."""
    return [
        *_component(places, files.components, kubeconfig, places.controller_manager),
        f"--root-ca-file={files.ca}",
        f"--service-account-private-key-file={files.service_account_key}",
        "--use-service-account-credentials=true",
    ]


def scheduler(places: Places, files: ControlPlaneFiles, kubeconfig: Path) -> list[str]:
    """Flags of kube-scheduler."""
    return _component(places, files.components, kubeconfig, places.scheduler)


def _component(places: Places, tls: TlsFiles, kubeconfig: Path, port: int) -> list[str]:
    """What controller manager and scheduler have in common; one of each needs no leader election."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={places.address}",
        f"--secure-port={port}",
        f"--tls-cert-file={tls.certificate}",
        f"--tls-private-key-file={tls.key}",
        "--leader-elect=false",
    ]
