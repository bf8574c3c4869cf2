"""Where an API server is and who one is there, read from a kubeconfig."""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clients.errors import InputError


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to talk to an API server.

    Attributes:
        server: ``https://HOST:PORT``.
        ca_pem: the certificate authority to trust; empty for the machine's own.
        token: a bearer token, or empty.
        certificate_pem, key_pem: a client certificate, or empty.
        verify: whether the server's certificate is checked.
    """

    server: str
    ca_pem: str = ""
    token: str = ""
    certificate_pem: str = ""
    key_pem: str = ""
    verify: bool = True

    @classmethod
    def load(cls, path: Path, context: str = "") -> Credentials:
        """The credentials of a context of a kubeconfig; of the current one by default. Raises InputError."""
        content = _read(path)
        chosen = _named(content, "contexts", context or str(content.get("current-context") or ""), path)
        cluster = _named(content, "clusters", str(chosen.get("cluster") or ""), path)
        user = _named(content, "users", str(chosen.get("user") or ""), path)
        unsupported = [key for key in ("exec", "auth-provider", "username") if user.get(key)]
        if unsupported:
            raise InputError(
                f"credentials by {unsupported[0]!r} are not understood",
                where=str(path),
                remedy="use a token or a client certificate",
            )
        token = str(user.get("token") or "")
        if not token and user.get("tokenFile"):
            token = _file(user["tokenFile"], path).strip()
        return cls(
            server=str(cluster.get("server") or "").rstrip("/"),
            ca_pem=_pem(cluster, "certificate-authority", path),
            token=token,
            certificate_pem=_pem(user, "client-certificate", path),
            key_pem=_pem(user, "client-key", path),
            verify=not cluster.get("insecure-skip-tls-verify"),
        )

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context of the client's side; None for a server without TLS."""
        if not self.server.startswith("https://"):
            return None
        context = ssl.create_default_context(cadata=self.ca_pem or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_pem:
            # The ssl module reads certificates from files only.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(f"{self.certificate_pem}\n{self.key_pem}\n")
                file.flush()
                context.load_cert_chain(file.name)
        return context


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read the kubeconfig: {error.strerror}", where=str(path)) from error
    except yaml.YAMLError as error:
        raise InputError("the kubeconfig is not valid YAML", where=str(path), remedy=str(error)) from error
    if not isinstance(content, dict):
        raise InputError("this is no kubeconfig", where=str(path))
    return content


def _named(content: dict[str, Any], section: str, name: str, path: Path) -> dict[str, Any]:
    """The entry of that name: ``contexts`` hold a ``context``, and so on."""
    for entry in content.get(section) or []:
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(section.removesuffix("s")) or {}
            return found
    raise InputError(f"there is no entry {name!r} in {section}", where=str(path))


def _pem(entry: dict[str, Any], key: str, path: Path) -> str:
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InputError(f"{key}-data is not base64 of PEM", where=str(path)) from error
    return _file(entry[key], path) if entry.get(key) else ""


def _file(name: str, kubeconfig: Path) -> str:
    """A file that a kubeconfig names, relative to it."""
    path = kubeconfig.parent / name
    try:
        return path.read_text()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", where=str(kubeconfig)) from error
