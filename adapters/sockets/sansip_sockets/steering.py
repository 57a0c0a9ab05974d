"""Responses to the worker that sent the request: a filter in the kernel, on the sockets that share a port.

Theory of operation: the kernel spreads datagrams over the sockets of an address by a hash of the peer's
address, and so a response would come to any worker. A classic BPF program on the group
(SO_ATTACH_REUSEPORT_CBPF) chooses the socket of a response itself. It looks for the first ``z9hG4bK`` behind
the status line, which is that of our own Via, the topmost (RFC 3261 8.1.3.3), however the peer spells it:
compact, folded, joined with others, or behind other header fields. The letter after it is the worker's mark
(``sansip.seat``). The program has no loops, so it looks at the first ``REACH`` octets. A response that it
cannot read falls to the hash, as all requests do; then the worker that gets it passes it on.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from typing import Final

__all__ = ["REACH", "program", "steer"]

# asm-generic/socket.h
SO_ATTACH_REUSEPORT_CBPF: Final = 51
# How far into a response the program looks; 4,096 instructions are the kernel's limit (linux/bpf_common.h).
REACH: Final = 900
# Octets of the shortest status line, ``SIP/2.0 200 ``.
_STATUS_LINE: Final = 12
# linux/bpf_common.h: load a word or an octet from a fixed place, or from X + k; the length; X = k; jumps;
# arithmetic; return.
_LOAD_WORD, _LOAD_LENGTH = 0x20, 0x80
_LOAD_WORD_X, _LOAD_OCTET_X = 0x40, 0x50
_SET_X, _IF_EQUAL, _IF_AT_LEAST, _JUMP = 0x01, 0x15, 0x35, 0x05
_SUBTRACT, _SHIFT_RIGHT, _RETURN, _RETURN_A = 0x14, 0x74, 0x06, 0x16
# No socket has this number, so the kernel takes its hash.
_BY_HASH: Final = 0xFFFF_FFFF
_FIRST_MARK: Final = ord("A")

_Instruction = tuple[int, int, int, int]


def program() -> list[_Instruction]:
    """Return the program: (code, jump if true, jump if false, value) for each instruction."""
    lines: list[_Instruction] = [
        (_LOAD_LENGTH, 0, 0, 0),
        (_IF_AT_LEAST, 1, 0, _STATUS_LINE + 8),
        (_RETURN, 0, 0, _BY_HASH),
        (_LOAD_WORD, 0, 0, 0),
        (_IF_EQUAL, 1, 0, _word(b"SIP/")),
        (_RETURN, 0, 0, _BY_HASH),
    ]
    found = []
    for place in range(_STATUS_LINE, REACH):
        # A load beyond the end ends the program with 0: the first worker takes what has no branch.
        lines.append((_LOAD_WORD, 0, 0, place))
        lines.append((_IF_EQUAL, 0, 2, _word(b"z9hG")))
        lines.append((_SET_X, 0, 0, place + 4))
        found.append(len(lines))
        lines.append((_JUMP, 0, 0, 0))
    lines.append((_RETURN, 0, 0, _BY_HASH))
    for line in found:
        lines[line] = (_JUMP, 0, 0, len(lines) - line - 1)
    return [
        *lines,
        (_LOAD_WORD_X, 0, 0, 0),
        (_SHIFT_RIGHT, 0, 0, 8),
        (_IF_EQUAL, 1, 0, _word(b"\0004bK")),
        (_RETURN, 0, 0, _BY_HASH),
        (_LOAD_OCTET_X, 0, 0, 3),
        # Another letter gives a number that no socket has.
        (_SUBTRACT, 0, 0, _FIRST_MARK),
        (_RETURN_A, 0, 0, 0),
    ]


def steer(sock: socket.socket) -> bool:
    """Put the program on the group of ``sock``, a UDP socket; return False where the system has none.

    The sockets of the group are numbered in the order in which they were bound.
    """
    if sys.platform != "linux":
        return False
    lines = program()
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    # struct sock_fprog
    option = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, option)
    except OSError:
        return False
    return True


def _word(text: bytes) -> int:
    return int.from_bytes(text, "big")
