"""The real stack behind real sockets: what only both together can show."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from tests.adapters.fakes import PATIENCE
from tests.adapters.runtimes import Running


@pytest.fixture
def server(start: Callable[..., Running]) -> Running:
    """A registrar and proxy on UDP and TCP, on each runtime in turn."""

    def build(listeners: list[ListenerConfig]) -> Stack:
        return Stack(StackConfig(listeners, ["localhost"]), os.urandom(16))

    return start(build, ListenerConfig(0, "udp", "127.0.0.1", 0), ListenerConfig(1, "tcp", "127.0.0.1", 0))


def request(method: str, target: str, sent_by: str, transport: str = "UDP", extra: str = "") -> bytes:
    return (
        f"{method} {target} SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {sent_by};branch=z9hG4bK{os.urandom(6).hex()}\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:alice@localhost>;tag={os.urandom(4).hex()}\r\n"
        "To: <sip:alice@localhost>\r\n"
        f"Call-ID: {os.urandom(6).hex()}\r\n"
        f"CSeq: 1 {method}\r\n"
        f"{extra}"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def peer_text(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


@pytest.mark.skipif(sys.platform != "linux", reason="IP_RECVERR is Linux's")
@pytest.mark.parametrize("padding", [0, 2000])
def test_a_call_to_a_dead_phone_fails_at_once(server, padding):
    """RFC 3261 18.4 and 16.9: ICMP ends the branch; without it, Timer B would take 32 s.

    The network quotes half a kilobyte of the datagram, so a long INVITE must be
    recognised by its beginning.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(PATIENCE)
        contact = f"Contact: <sip:alice@{peer_text(phone)}>\r\n"
        phone.sendto(
            request("REGISTER", "sip:localhost", peer_text(phone), extra=contact), server.listeners[0].address
        )
        assert phone.recv(65535).startswith(b"SIP/2.0 200 ")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.settimeout(PATIENCE)
        extra = f"Contact: <sip:bob@{peer_text(caller)}>\r\n" + (
            f"X-Padding: {'x' * padding}\r\n" if padding else ""
        )
        caller.sendto(
            request("INVITE", "sip:alice@localhost", peer_text(caller), extra=extra),
            server.listeners[0].address,
        )
        status = [caller.recv(65535).split(b" ")[1] for _ in range(2)]
        assert status == [b"100", b"500"]


def test_register_over_tcp_in_single_octets(server):
    """Framing, registrar and answer over a stream that trickles."""
    with socket.create_connection(server.listeners[1].address) as phone:
        phone.settimeout(PATIENCE)
        phone.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        contact = f"Contact: <sip:alice@{peer_text(phone)};transport=tcp>\r\n"
        for octet in request("REGISTER", "sip:localhost", peer_text(phone), "TCP", contact):
            phone.send(bytes([octet]))
        assert phone.recv(65535).startswith(b"SIP/2.0 200 ")
