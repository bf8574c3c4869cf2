"""Addresses of pods on loopback, as a real API server shows them.

Pods of a cluster on this machine have addresses in ``127.N.0.0/16``, and a real API server refuses endpoints "in the
loopback range". So ``127.N.x.y`` is published as ``240.N.x.y``: a block reserved since RFC 1112 (section 4) that no
network uses. Nobody can connect to a published address; whoever reads one translates it.
"""

from __future__ import annotations

_LOOPBACK, _RESERVED = "127.", "240."


def published(address: str) -> str:
    """The address that a real API server accepts for one of this machine."""
    return _RESERVED + address.removeprefix(_LOOPBACK) if address.startswith(_LOOPBACK) else address


def reachable(address: str) -> str:
    """Where to connect to, for an address that the API shows."""
    return _LOOPBACK + address.removeprefix(_RESERVED) if address.startswith(_RESERVED) else address
