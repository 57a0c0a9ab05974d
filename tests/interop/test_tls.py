"""Phones on TLS: baresip, which speaks it with OpenSSL in C, against a certificate made for the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.baresip import Baresip
from tests.interop.conftest import OPTIONS, TARGET
from tools import peers

LOCAL = "127.0.0.1"

pytestmark = [
    pytest.mark.needs("baresip"),
    pytest.mark.skipif(TARGET != "sansip", reason="Kamailio is not set up for TLS here"),
]


class Server:
    """UDP and TLS on loopback."""

    def __init__(self, directory: Path) -> None:
        self.addresses = {"udp": (LOCAL, peers.free_port()), "tls": (LOCAL, peers.free_port())}
        listeners = [f"{name}:{host}:{port}" for name, (host, port) in self.addresses.items()]
        certificate = Authority(directory).issue("server.pem", "biloxi.test", LOCAL)
        options = [*OPTIONS, "--certificate", str(certificate)]
        self.program = peers.sansip_serve(directory, listeners, ["biloxi.test"], options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("tls"))
    with server.program:
        yield server
        assert "Traceback" not in server.program.output()


@pytest.mark.parametrize(("caller", "callee"), [("tls", "udp"), ("udp", "tls"), ("tls", "tls")])
def test_call(caller: str, callee: str, server: Server, tmp_path: Path) -> None:
    """REGISTER, INVITE, answer, media from phone to phone; each side hangs up once."""
    names = (f"alice-{caller}-{callee}", f"bob-{caller}-{callee}")
    with (
        Baresip(tmp_path / "alice", names[0], "biloxi.test", server.addresses[caller], caller) as alice,
        Baresip(tmp_path / "bob", names[1], "biloxi.test", server.addresses[callee], callee) as bob,
    ):
        for phone in (alice, bob):
            phone.wait_until_registered()
        for hangs_up in (alice, bob):
            alice.call(bob)
            for phone in (alice, bob):
                phone.wait_for("CALL_RTPESTAB")
            hangs_up.command("hangup")
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")
