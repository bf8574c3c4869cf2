"""Signed tokens (JSON Web Tokens, RFC 7519, with ES256 signatures, RFC 7518)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_HALF = 32
"""Bytes of each of the two numbers of a P-256 signature."""

Claims = dict[str, Any]


class InvalidToken(ValueError):
    """Not a token of this key."""


class Signer:
    """Signs and verifies tokens with one P-256 key.

    Args:
        key: the private key; None makes a new one, so that tokens end with the process.
    """

    def __init__(self, key: EllipticCurvePrivateKey | None = None) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self._public = self._key.public_key()
        encoded = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._header = _encode({"alg": "ES256", "kid": _base64(hashlib.sha256(encoded).digest())})

    def sign(self, claims: Claims) -> str:
        """A token that carries the claims."""
        from cryptography.hazmat.primitives.asymmetric import utils

        content = f"{self._header}.{_encode(claims)}"
        r, s = utils.decode_dss_signature(self._key.sign(content.encode(), _algorithm()))
        return f"{content}.{_base64(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def verify(self, token: str) -> Claims:
        """The claims of a token that this key signed; says nothing about its times. Raises InvalidToken."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import utils

        header, _, rest = token.partition(".")
        payload, _, signature = rest.partition(".")
        # Comparing the whole header leaves an attacker no choice of algorithm or key.
        if header != self._header:
            raise InvalidToken("not signed by this server's key")
        raw = _decode(signature)
        if len(raw) != 2 * _HALF:
            raise InvalidToken("the signature has the wrong length")
        der = utils.encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
        try:
            self._public.verify(der, f"{header}.{payload}".encode(), _algorithm())
        except InvalidSignature:
            raise InvalidToken("the signature is wrong") from None
        claims: Claims = json.loads(_decode(payload))
        return claims


def _algorithm() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


def _encode(content: Any) -> str:
    return _base64(json.dumps(content, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidToken("not base64url") from None
