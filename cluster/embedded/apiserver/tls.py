"""A certificate authority and a server certificate, made for one cluster.

client-go sends bearer tokens over TLS only, so even a server on the loopback interface needs a certificate.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from clients.errors import InputError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_CERTIFICATE, _KEY = "apiserver.crt", "apiserver.key"
_VALIDITY = timedelta(days=365)
_NAMES = (
    "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a server certificate; ``ca_pem`` is what clients trust."""

    ca_pem: str
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """The context of the server's side."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, in PEM."""

    pem: str
    key_pem: str


class CertificateAuthority:
    """Issues certificates for one cluster. Its key lives in memory only: what was not issued now never will be."""

    def __init__(self, name: str = "vllm-gameday cluster CA") -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = _pem(_certificate(_name(name), self._key, _name(name), self._key, ca=True))

    def server(self, name: str, *addresses: str, also_client: bool = False) -> Certificate:
        """A certificate for a server at the addresses; with ``also_client`` good for connections from it, too."""
        return self._issue(_name(name), _usages(server=True, client=also_client), addresses)

    def client(self, user: str, *groups: str) -> Certificate:
        """A certificate of a user. Kubernetes reads user and groups from common name and organizations."""
        return self._issue(_name(user, *groups), _usages(server=False, client=True), ())

    def _issue(
        self, subject: x509.Name, usages: list[x509.ObjectIdentifier], addresses: tuple[str, ...]
    ) -> Certificate:
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(subject, key, _name(self._name), self._key, usages=usages, addresses=addresses)
        return Certificate(_pem(certificate), private_key_pem(key))


def existing_files(folder: Path, ca_pem: str) -> TlsFiles:
    """The files that ``create_tls_files`` wrote into a folder. Raises InputError when they are not there any more."""
    files = TlsFiles(ca_pem, folder / _CERTIFICATE, folder / _KEY)
    for path in (files.certificate, files.key):
        if not path.is_file():
            raise InputError(
                "the cluster's certificate is gone", where=str(path), remedy="begin anew: gameday cluster down"
            )
    return files


def create_tls_files(folder: Path, *, addresses: tuple[str, ...] = ("127.0.0.1",)) -> TlsFiles:
    """Make a CA and a server certificate for the addresses and write the latter to the folder (mode 0600).

    The key of the CA is forgotten at once: nothing else can ever be signed with it.
    """
    authority = CertificateAuthority()
    return write_tls_files(folder, "apiserver", authority.server("kube-apiserver", *addresses), authority.pem)


def write_tls_files(folder: Path, stem: str, certificate: Certificate, ca_pem: str) -> TlsFiles:
    """Write ``STEM.crt`` and ``STEM.key`` (mode 0600)."""
    files = TlsFiles(ca_pem, folder / f"{stem}.crt", folder / f"{stem}.key")
    write_private(files.certificate, certificate.pem)
    write_private(files.key, certificate.key_pem)
    return files


def private_key_pem(key: EllipticCurvePrivateKey) -> str:
    """PKCS #8, not encrypted."""
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def write_private(path: Path, content: str) -> None:
    """Write a new file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)


def _certificate(
    subject: x509.Name,
    key: EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    usages: list[x509.ObjectIdentifier] | None = None,
    addresses: tuple[str, ...] = (),
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(_key_usage(ca=ca), critical=True)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if addresses:
        names = [x509.DNSName(name) for name in _NAMES]
        alternatives = [*names, *(x509.IPAddress(ip_address(address)) for address in addresses)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _usages(*, server: bool, client: bool) -> list[x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    wanted = ((server, ExtendedKeyUsageOID.SERVER_AUTH), (client, ExtendedKeyUsageOID.CLIENT_AUTH))
    return [usage for is_wanted, usage in wanted if is_wanted]


def _name(common_name: str, *organizations: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM).decode()
