"""Drops packets before a listener's TCP sees them, by a classic BPF program on its socket: no privilege is needed.

A SYN that is dropped here is never answered: the client waits and tries again, as it does when a network drops it.
Source: Linux, Documentation/networking/filter.rst; include/uapi/linux/filter.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterable

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_SOURCE_ADDRESS = 0xFFF00000 + 12  # SKF_NET_OFF: relative to the IP header; the TCP header begins at 0
_DROP, _PASS = 0, 0xFFFFFFFF
_MAX_INSTRUCTIONS = 4096

_Instruction = tuple[int, int, int, int]


def drop(listener: socket.socket, addresses: Iterable[str] = (), clients: Iterable[tuple[str, int]] = ()) -> None:
    """Drop packets from these addresses and from these (address, port); nothing else, and nothing of before.

    The kernel bounds a program; what does not fit into it is accepted.
    """
    program: list[_Instruction] = []
    for address in addresses:
        program += [(_LOAD_WORD, 0, 0, _SOURCE_ADDRESS), (_JUMP_EQUAL, 0, 1, _number(address)), (_RETURN, 0, 0, _DROP)]
    for address, port in clients:
        program += [
            (_LOAD_WORD, 0, 0, _SOURCE_ADDRESS),
            (_JUMP_EQUAL, 0, 3, _number(address)),
            (_LOAD_HALF, 0, 0, 0),
            (_JUMP_EQUAL, 0, 1, port),
            (_RETURN, 0, 0, _DROP),
        ]
    if program:
        _attach(listener, program[: (_MAX_INSTRUCTIONS - 1) // 15 * 15])
    else:
        pass_all(listener)


def pass_all(connection: socket.socket) -> None:
    """Drop nothing. An accepted connection inherits its listener's program: it must not outlive the listener's."""
    with contextlib.suppress(OSError):  # there is none
        connection.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _attach(listener: socket.socket, program: list[_Instruction]) -> None:
    packed = b"".join(struct.pack("HBBI", *one) for one in [*program, (_RETURN, 0, 0, _PASS)])
    buffer = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("HL", len(program) + 1, ctypes.addressof(buffer))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def _number(address: str) -> int:
    return int.from_bytes(socket.inet_aton(address), "big")
