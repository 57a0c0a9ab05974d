"""TLS, WebSocket and secure WebSocket over workers: phones on connections of any process call each other.

Theory of operation: the kernel gives each connection to a worker. Eight phones of each transport are at both
workers of two, but for once in 128 runs; so each call here crosses in some of the pairs.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.siege import LOCAL
from tests.interop.workers import Crew, soon

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
DOMAIN = "siege.test"
SECURE = ("tls", "wss")
ALL = ("udp", "tcp", *SECURE, "ws")


class Place:
    """A server with workers on all transports."""

    def __init__(self, directory: Path, stack: ExitStack, config: str = "") -> None:
        self.authority = Authority(directory)
        certificate = self.authority.issue("server.pem", DOMAIN, LOCAL)
        self._stack = stack
        given = {"options": ["--certificate", str(certificate)], "config": config}
        self.crew = stack.enter_context(Crew(directory, transports=ALL, **given))

    def phone(self, user: str, transport: str) -> Phone:
        server = self.crew.address(transport)
        authority = self.authority.authority
        phone = Phone(user, DOMAIN, transport, server, authority)
        self._stack.enter_context(phone)
        return phone


def talk(caller: Phone, callee: Phone, hangs_up: str) -> None:
    """Have two phones call and hang up."""
    caller.invite(callee.aor)
    invite = callee.expect("INVITE")
    callee.answer(invite, "180 Ringing")
    caller.expect("180")
    callee.answer(invite, "200 OK")
    caller.established(caller.expect("200"))
    callee.expect("ACK")
    first, second = (caller, callee) if hangs_up == "caller" else (callee, caller)
    first.within("BYE")
    second.answer(second.expect("BYE"), "200 OK")
    first.expect("200")


@pytest.mark.parametrize("transport", ["tls", "ws", "wss"])
def test_calls_between_connections_of_all_workers(tmp_path: Path, transport: str) -> None:
    """RFC 5626 5.3, RFC 7118 5: each phone is reached over its own connection, whichever process has it."""
    with ExitStack() as stack:
        place = Place(tmp_path, stack, "[calls]\n")
        callees = [place.phone(f"u{number}", transport) for number in range(4)]
        callers = [place.phone(f"v{number}", transport) for number in range(4)]
        for phone in (*callees, *callers):
            phone.register()
        for number, (caller, callee) in enumerate(zip(callers, callees, strict=True)):
            talk(caller, callee, "callee" if number % 2 else "caller")
        # And phones on datagrams, both ways.
        plain = place.phone("udp", "udp")
        plain.register()
        for phone in callees:
            talk(plain, phone, "callee")
            talk(phone, plain, "callee")
        soon(lambda: place.crew.ctl("calls.list", "--json") == [[]], "all calls are over")


def test_new_certificates_reach_all_workers(tmp_path: Path) -> None:
    """SIGHUP: connections that come from then on see the new certificate at whichever worker."""
    with ExitStack() as stack:
        place = Place(tmp_path, stack)
        old = place.phone("old", "tls")
        old.register()
        (tmp_path / "new").mkdir()
        authority = Authority(tmp_path / "new")
        (tmp_path / "server.pem").write_bytes(authority.issue("server.pem", DOMAIN, LOCAL).read_bytes())
        os.kill(place.crew.program.pid, signal.SIGHUP)
        soon(lambda: place.crew.log.count("read again:") >= 2, "both workers have read it")
        for number in range(8):
            server = place.crew.address("tls")
            with Phone(f"n{number}", DOMAIN, "tls", server, authority.authority) as phone:
                phone.register()
        # RFC 5246: the connection of before goes on.
        old.register()


def test_a_worker_dies_with_its_secure_connections(tmp_path: Path) -> None:
    """Its phones connect and register again; nobody else's registration goes, and all can be called."""
    with ExitStack() as stack:
        place = Place(tmp_path, stack)
        phones = [place.phone(f"u{number}", SECURE[number % 2]) for number in range(10)]
        for phone in phones:
            phone.register()
        assert len(place.crew.bindings()) == 10
        place.crew.kill(1)
        soon(lambda: 0 < len(place.crew.bindings()) < 10, "its registrations are gone, the others are not")
        left = {one["aor"] for one in place.crew.bindings()}
        caller = place.phone("caller", "udp")
        caller.register()
        for phone in phones:
            if phone.aor not in left:
                user, _, _ = phone.aor.removeprefix("sip:").partition("@")
                phone = place.phone(user, phone.transport)
                phone.register()
            talk(caller, phone, "caller")
