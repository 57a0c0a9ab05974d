"""Forged ICMP errors: a stranger who knows two addresses can send them, and ends no call (RFC 3261 18.4)."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.line import Line
from tests.interop.siege import LOCAL, Siege, request

PHONE = ("127.0.0.2", 0)


def raw_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def may_forge() -> bool:
    try:
        raw_socket().close()
    except PermissionError:
        return False
    return True


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data + b"\0" * (len(data) % 2))) if data else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def unreachable(server: tuple[str, int], phone: tuple[str, int], quoted: bytes) -> bytes:
    """An ICMP "port unreachable" about a datagram of the server's to the phone (RFC 792)."""
    udp = struct.pack("!HHHH", server[1], phone[1], 8 + len(quoted), 0) + quoted
    addresses = socket.inet_aton(server[0]) + socket.inet_aton(phone[0])
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + addresses
    body = ip + udp + b"\0" * (len(udp) % 2)
    return struct.pack("!BBHI", 3, 3, checksum(struct.pack("!BBHI", 3, 3, 0, 0) + body), 0) + body


@pytest.mark.skipif(not may_forge(), reason="a raw socket needs CAP_NET_RAW")
def test_forged_errors_end_no_call(tmp_path: Path) -> None:
    """The beginning of an INVITE can be guessed, its branch cannot; the network's own error counts."""
    with Siege(tmp_path) as siege, ExitStack() as stack:
        caller = stack.enter_context(siege.line("udp"))
        phone: Line = stack.enter_context(siege.line("udp", source=PHONE))
        forger = stack.enter_context(raw_socket())
        aor = f"sip:bob@{siege.domain}"
        contact = f"Contact: <sip:bob@{phone.sent_by}>;expires=60"
        phone.send(request("REGISTER", f"sip:{siege.domain}", phone, to=f"<{aor}>", lines=[contact]))
        assert phone.receive().startswith(b"SIP/2.0 200 ")
        caller.send(request("INVITE", aor, caller, lines=[f"Contact: <sip:x@{caller.sent_by}>"]))
        invite = phone.receive()
        branch = invite.index(b"branch=") + 7
        server = siege.address("udp")
        with siege.watched() as watch:
            for quoted in (b"", b"INVITE s", invite[:branch], invite[:branch] + b"z9hG4bKguess\r\n") * 25:
                forger.sendto(unreachable(server, phone.local, quoted), (LOCAL, 0))
            assert [one.split(b" ")[1] for one in caller.received()] == [b"100"]
        # The error of a router that has seen the datagram.
        forger.sendto(unreachable(server, phone.local, invite[:500]), (LOCAL, 0))
        assert caller.receive().split(b" ")[1] in (b"480", b"500")
    assert watch.spent < 0.5
