"""Addresses on loopback: a /16 of 127/8 for each cluster, claimed for as long as its process lives."""

from __future__ import annotations

import ipaddress
import random
import socket
from collections import OrderedDict

from clients.errors import EnvironmentUnusable

FIRST, LAST = 16, 239
_RANGES = {"service": (0, 64), "node": (64, 128), "pod": (128, 256)}  # third octets, end excluded
_SERVICE_PREFIX = 18


class Subnet:
    """One claimed ``127.N.0.0/16``.

    The claim is an abstract UNIX socket: the kernel lets go of it when the process ends, however it ends, so there is
    nothing to clean up and nothing to go stale.
    """

    def __init__(self, number: int, lock: socket.socket) -> None:
        self.number = number
        self._lock = lock

    @classmethod
    def claim(cls) -> Subnet:
        """Claim a free subnet. Raises EnvironmentUnusable when every one is taken."""
        numbers = list(range(FIRST, LAST + 1))
        random.shuffle(numbers)
        for number in numbers:
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(f"\0vllm-gameday-subnet-{number}")
            except OSError:
                lock.close()
                continue
            return cls(number, lock)
        raise EnvironmentUnusable(
            "every loopback subnet is taken by another embedded cluster",
            where=f"127.{FIRST}.0.0/16 to 127.{LAST}.0.0/16",
            remedy="stop clusters that are not needed: gameday cluster down --all",
        )

    def close(self) -> None:
        """Give the subnet back."""
        self._lock.close()

    def services(self) -> ipaddress.IPv4Network:
        """The addresses of Services, as a network."""
        return ipaddress.IPv4Network(f"127.{self.number}.0.0/{_SERVICE_PREFIX}")

    @property
    def first_service(self) -> ipaddress.IPv4Address:
        """The address that the first Service gets, which is that of the API."""
        return self.services()[1]

    def pool(self, kind: str) -> AddressPool:
        """The pool of ``service``, ``node`` or ``pod`` addresses."""
        low, high = _RANGES[kind]
        return AddressPool(self.number, low, high)


class AddressPool:
    """Hands out addresses; one that was given back is used again last."""

    def __init__(self, subnet: int, low: int, high: int) -> None:
        self._free: OrderedDict[str, None] = OrderedDict()
        self._fresh = (f"127.{subnet}.{third}.{fourth}" for third in range(low, high) for fourth in range(1, 255))
        self._held: dict[str, str] = {}
        self._reserved: set[str] = set()

    def allocate(self, holder: str) -> str:
        """An address for a holder (a pod's uid); the same one when asked again. Raises EnvironmentUnusable."""
        if holder not in self._held:
            self._held[holder] = self._next()
        return self._held[holder]

    def release(self, holder: str) -> None:
        """Give a holder's address back."""
        if address := self._held.pop(holder, None):
            self._free[address] = None

    def reserve(self, address: str) -> None:
        """Never hand this address out: a person chose it."""
        self._reserved.add(address)

    def next_address(self) -> str:
        """An address that is never given back."""
        return self._next()

    def _next(self) -> str:
        for address in self._fresh:
            if address not in self._reserved:
                return address
        if not self._free:
            raise EnvironmentUnusable("no address is left in the cluster", remedy="delete what is not needed")
        address, _ = self._free.popitem(last=False)
        return address


def is_pod_address(address: str) -> bool:
    """Whether an address can only be a pod's."""
    first, _, third, _ = (int(part) for part in address.split("."))
    low, high = _RANGES["pod"]
    return first == 127 and low <= third < high
