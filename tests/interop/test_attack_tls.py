"""Partners by certificate, whose authority is withdrawn while they are connected; sips in the clear."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.certificates import Authority
from tests.interop.conftest import TARGET
from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request
from tools.peers import free_port

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's own behaviour")

CONFIG = """
control = "{folder}/ctl"

[tls]
certificate = "{folder}/server.pem"
authorities = "{folder}/trusted.pem"
crls = ["{folder}/list.crl"]
verify_clients = "optional"

[[trusted]]
certificate = "partner.example"
relay = true
"""


class Partner:
    """A TLS connection with a certificate, or without."""

    def __init__(self, server: tuple[str, int], certificate: Path | None, authority: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.check_hostname = False
        if certificate is not None:
            context.load_cert_chain(certificate)
        self.sock = context.wrap_socket(socket.create_connection(server, timeout=5))
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def relayed(self, far: socket.socket) -> bool:
        """Whether a MESSAGE to another domain, at ``far``, gets there; else it is refused with 403."""
        self.count += 1
        local, there = ("{}:{}".format(*sock.getsockname()) for sock in (self.sock, far))
        lines = [
            f"MESSAGE sip:x@{there} SIP/2.0",
            f"Via: SIP/2.0/TLS {local};branch=z9hG4bK{self.count};rport",
            *("Max-Forwards: 70", "From: <sip:p@partner.example>;tag=1", f"To: <sip:x@{there}>"),
            *(f"Call-ID: {self.count}-{local}", "CSeq: 1 MESSAGE", "Content-Length: 0", "", ""),
        ]
        self.sock.sendall("\r\n".join(lines).encode())
        self.sock.settimeout(0.5)
        try:
            answer = self.sock.recv(65_535)
        except TimeoutError:
            got, source = far.recvfrom(65_535)
            assert got.startswith(b"MESSAGE ")
            kept = (line for line in got.split(b"\r\n")[1:] if not line.startswith((b"Max-F", b"Record-")))
            far.sendto(b"\r\n".join([b"SIP/2.0 200 OK", *kept]), source)
            assert self.sock.recv(65_535).startswith(b"SIP/2.0 200 ")
            return True
        assert answer.startswith(b"SIP/2.0 403 "), answer
        return False


def test_a_partner_is_one_as_long_as_its_certificate_is_good(tmp_path: Path) -> None:
    """Revoked while it is connected: after a reload the same connection may no more than a stranger's."""
    authority, stranger = Authority(tmp_path, "one"), Authority(tmp_path, "stranger")
    authority.issue("server.pem", "siege.test")
    good = authority.issue("partner.pem", "sip:partner.example")
    authority.revoke("list.crl")
    (tmp_path / "trusted.pem").write_bytes(authority.authority.read_bytes())
    port = free_port()
    server, root = (LOCAL, port), authority.authority
    listen = ["--listen", f"tls:{LOCAL}:{port}"]
    with (
        Siege(tmp_path, config=CONFIG.format(folder=tmp_path), options=listen) as siege,
        siege.watched(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        Partner(server, good, root) as partner,
        Partner(server, None, root) as nobody,
    ):
        far.bind((LOCAL, 0))
        far.settimeout(5)
        assert partner.relayed(far)
        assert not nobody.relayed(far)
        # TLS 1.3: the refusal comes with the first octets.
        forged = stranger.issue("forged.pem", "sip:partner.example")
        with Partner(server, forged, root) as other, pytest.raises((ssl.SSLError, ConnectionError)):
            other.relayed(far)
        authority.revoke("list.crl", good)
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(tmp_path / "ctl"), "reload"]
        assert subprocess.run(command, timeout=30).returncode == 0
        assert not partner.relayed(far)
        with Partner(server, good, root) as other, pytest.raises((ssl.SSLError, ConnectionError)):
            other.relayed(far)
        assert "certificate revoked" in siege.log


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_sips_in_the_clear(transport: str, tmp_path: Path) -> None:
    """RFC 3261 26.2.2: refused, for every callee."""
    with Siege(tmp_path) as siege, siege.line(transport) as stranger:
        for uri in ("sips:siege.test", "sips:anna@siege.test", "sips:x@elsewhere.example"):
            stranger.send(request("OPTIONS", uri, stranger))
            assert stranger.receive().startswith(b"SIP/2.0 403 SIPS Needs TLS")
