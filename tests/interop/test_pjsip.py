"""PJSIP in a call while connections are torn and the server is started anew, over TCP and TLS.

Theory of operation: two phones, each a process (``pjsip_phone``), reach the server over a
``Wire`` that the test can tear, and know no other address of it: it advertises the wire's.
They come back by themselves and register, and then one of them hangs up: the route
set of the call names the connections of before, and the BYE has to arrive all the same
(RFC 5626 5.3.2).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.users import add_users
from tests.interop.wire import Wire
from tests.missing import needs_pjsua2
from tools.peers import Program, free_port, sansip_serve

LOCAL = "127.0.0.1"
DOMAIN = "biloxi.test"
ROOT = Path(__file__).parents[2]
USERS = ("alice", "bob")
PASSWORD = "wonderland"

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="it is about our flow tokens"),
    pytest.mark.timeout(120),
]


class PjsipPhone(Program):
    """One phone, and its output so far."""

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir()
        command = [sys.executable, "-m", "tests.interop.pjsip_phone", *options]
        super().__init__(command, directory / "pjsip.log", cwd=ROOT, spoken_to=True)

    def told(self, what: str) -> int:
        """How often it told ``what``."""
        return self.output().splitlines().count(what)

    def expect(self, what: str, times: int = 1) -> None:
        """Wait until it has told ``what`` so often."""
        self.wait_for(rf"(?s)(^{what}$.*){{{times}}}")


class Site:
    """The server, its wire, and the two phones, registered."""

    def __init__(self, directory: Path, transport: str, stack: ExitStack) -> None:
        self.directory = directory
        self.transport = transport
        port = free_port()
        self.wire = stack.enter_context(closing(Wire((LOCAL, port))))
        self._listen = f"{transport}:{LOCAL}:{port} advertise {LOCAL}:{self.wire.port}"
        # Where the key of its tokens is, too: they are good in its next life.
        store = directory / "sansip.db"
        add_users(store, {f"{user}@{DOMAIN}": PASSWORD for user in USERS})
        authority = Authority(directory)
        certificate = authority.issue("server.pem", DOMAIN, LOCAL)
        self._options = [*OPTIONS, "--auth", "digest", "--store", str(store)]
        if transport == "tls":
            self._options += ["--certificate", str(certificate)]
        self.program = self.start()
        stack.callback(lambda: self.program.stop())
        shown = str(authority.authority) if transport == "tls" else ""
        where = [LOCAL, str(self.wire.port), transport, DOMAIN]
        self.alice, self.bob = (
            stack.enter_context(PjsipPhone(directory / user, *where, user, shown, PASSWORD)) for user in USERS
        )
        for phone in (self.alice, self.bob):
            phone.expect("registered 200")

    def start(self) -> Program:
        """Start the server, or start it again."""
        self.program = sansip_serve(self.directory, [self._listen], [DOMAIN], self._options)
        return self.program

    def call(self) -> None:
        """Alice calls bob, and bob answers."""
        self.alice.say(f"call sip:bob@{DOMAIN}")
        for phone in (self.alice, self.bob):
            phone.expect("confirmed")

    def hang_up(self, first: str) -> None:
        """One side hangs up, and the other hears of it."""
        phones = {"alice": self.alice, "bob": self.bob}
        phones[first].say("hangup")
        for phone in phones.values():
            phone.expect("ended 200")
        assert "Traceback" not in self.program.output()


@pytest.fixture(params=["tcp", "tls"])
def site(request: Any, tmp_path: Path) -> Iterator[Site]:
    needs_pjsua2()
    with ExitStack() as stack:
        yield Site(tmp_path, request.param, stack)


@pytest.mark.parametrize("first", USERS)
def test_connections_are_torn_in_a_call(first: str, site: Site) -> None:
    """Both phones lose their connections and come back over others; either can hang up."""
    site.call()
    site.wire.tear()
    for phone in (site.alice, site.bob):
        phone.expect("registered 200", 2)
    site.hang_up(first)


@pytest.mark.parametrize("first", USERS)
def test_the_server_is_started_anew_in_a_call(first: str, site: Site) -> None:
    """Nothing of a call is stored, and nothing of it is lost."""
    site.call()
    site.program.stop()
    site.start()
    for phone in (site.alice, site.bob):
        phone.expect("registered 200", 2)
    site.hang_up(first)
