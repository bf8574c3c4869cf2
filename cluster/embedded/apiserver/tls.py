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

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

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


def create_tls_files(folder: Path, *, addresses: tuple[str, ...] = ("127.0.0.1",)) -> TlsFiles:
    """Make a CA and a server certificate for the addresses and write the latter to the folder (mode 0600).

    The key of the CA is forgotten at once: nothing else can ever be signed with it.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("vllm-gameday cluster CA", ca_key, "vllm-gameday cluster CA", ca_key, ())
    server = _certificate("kube-apiserver", server_key, "vllm-gameday cluster CA", ca_key, addresses)
    files = TlsFiles(
        ca.public_bytes(serialization.Encoding.PEM).decode(), folder / "apiserver.crt", folder / "apiserver.key"
    )
    _write_private(files.certificate, server.public_bytes(serialization.Encoding.PEM))
    _write_private(
        files.key,
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    return files


def _certificate(
    subject: str,
    key: EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: EllipticCurvePrivateKey,
    addresses: tuple[str, ...],
) -> x509.Certificate:
    """A CA certificate when there are no addresses, else a server certificate for them."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in _extensions(addresses):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _extensions(addresses: tuple[str, ...]) -> list[tuple[x509.ExtensionType, bool]]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=not addresses, crl_sign=not addresses,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    if not addresses:
        return [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]
    names = [x509.DNSName(name) for name in _NAMES]
    names_and_addresses = [*names, *(x509.IPAddress(ip_address(address)) for address in addresses)]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(names_and_addresses), False),
    ]


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
