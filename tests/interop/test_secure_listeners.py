"""TLS and WebSocket listeners of the running server: new certificates, and peers that mean no good."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.phone import Phone
from tools import peers

LOCAL = "127.0.0.1"
DOMAIN = "secure.test"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's own behaviour")


class Server:
    """UDP, TLS, WS and WSS on loopback, with a certificate that can be replaced."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.certificate = self.authority.issue("server.pem", DOMAIN, LOCAL)
        self.addresses = {name: (LOCAL, peers.free_port()) for name in ("udp", "tls", "ws", "wss")}
        listeners = [f"{name}:{host}:{port}" for name, (host, port) in self.addresses.items()]
        options = [*OPTIONS, "--certificate", str(self.certificate)]
        self.program = peers.sansip_serve(directory, listeners, [DOMAIN], options)

    def phone(self, user: str, transport: str) -> Phone:
        return Phone(user, DOMAIN, transport, self.addresses[transport], self.authority.authority)

    def serial(self) -> str:
        """The serial number of the certificate that a new connection sees."""
        context = ssl.create_default_context(cafile=str(self.authority.authority))
        with (
            socket.create_connection(self.addresses["tls"], timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=DOMAIN) as secure,
        ):
            certificate = secure.getpeercert()
            assert certificate
            return str(certificate["serialNumber"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    with server.program:
        yield server
        assert "Traceback" not in server.program.output()


def test_new_certificates_without_a_cut(server: Server) -> None:
    """SIGHUP: new connections see the new certificate, and open connections notice nothing."""
    before = server.serial()
    with server.phone("alice", "tls") as alice:
        alice.register()
        server.authority.issue("server.pem", DOMAIN, LOCAL)
        os.kill(server.program.pid, signal.SIGHUP)
        server.program.wait_for("read again: .*certificates")
        assert server.serial() != before
        alice.register()
        server.certificate.write_text("rubbish")
        os.kill(server.program.pid, signal.SIGHUP)
        server.program.wait_for("tls: .*all stays as it was")
        assert server.serial() != before
        alice.register()


def gone(peer: socket.socket) -> bytes:
    """Return the octets until the server closes."""
    got = b""
    while data := peer.recv(65_536):
        got += data
    return got


def test_hostile_peers_cost_only_themselves(server: Server) -> None:
    """Garbage, half handshakes, broken frames, comings and goings; a call goes on beside them."""
    with server.phone("alice", "wss") as alice, server.phone("bob", "tls") as bob:
        alice.register()
        bob.register()
        alice.invite(bob.aor)
        invite = bob.expect("INVITE")
        idle = [socket.create_connection(server.addresses[name], timeout=10) for name in ("tls", "ws", "wss")]
        for _ in range(100):
            socket.create_connection(server.addresses["tls"]).close()
        for name in ("tls", "wss"):
            for garbage in (
                b"REGISTER sip:x SIP/2.0\r\n\r\n" * 9,
                os.urandom(3_000),
                b"\x16\x03\x01\xff\xff",
            ):
                with socket.create_connection(server.addresses[name], timeout=10) as peer:
                    peer.sendall(garbage)
        with socket.create_connection(server.addresses["ws"], timeout=10) as peer:
            peer.sendall(b"REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n")
            assert gone(peer).startswith(b"HTTP/1.1 400 ")
        # RFC 6455 7.4.1: each fault has its close code.
        for octets, code in (
            (bytes.fromhex("8105") + b"Hello", 1002),
            (bytes.fromhex("82ff") + b"\x7f" * 12, 1009),
        ):
            with socket.create_connection(server.addresses["ws"], timeout=10) as peer:
                peer.sendall(
                    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    b"Sec-WebSocket-Protocol: sip\r\n\r\n" + octets
                )
                answer = gone(peer).partition(b"\r\n\r\n")[2]
                assert answer[0] == 0x88
                assert int.from_bytes(answer[2:4], "big") == code
        bob.answer(invite, "200 OK")
        alice.established(alice.expect("200"))
        bob.expect("ACK")
        bob.within("BYE")
        alice.answer(alice.expect("BYE"), "200 OK")
        bob.expect("200")
        for peer in idle:
            peer.close()


def test_who_reads_nothing_is_cut(server: Server) -> None:
    """limits.connection_backlog: octets for a peer that does not read are dropped; others do not wait."""
    with server.phone("mute", "tls") as mute, server.phone("alice", "wss") as alice:
        options = "\r\n".join(
            [
                f"OPTIONS sip:{DOMAIN} SIP/2.0",
                "Via: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK%d",
                "From: <sip:mute@secure.test>;tag=1",
                "To: <sip:secure.test>",
                "Call-ID: %d",
                "CSeq: 1 OPTIONS",
                "Content-Length: 0",
                "",
                "",
            ]
        )

        # The server reads on, so sending fails only once it has closed.
        def ask_for_ever() -> None:
            for number in itertools.count(step=50):
                mute.send("".join(options % (one, one) for one in range(number, number + 50)))

        with pytest.raises((ConnectionError, ssl.SSLError)):
            ask_for_ever()
        alice.register()


@pytest.mark.needs("openssl")
def test_renegotiation(server: Server) -> None:
    """One handshake after the other is refused to OpenSSL's own client (CVE-2011-1473)."""
    host, port = server.addresses["tls"]
    command = ["openssl", "s_client", "-tls1_2", "-connect", f"{host}:{port}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        assert client.stdin
        assert client.stdout
        for line in client.stdout:
            if "Extended master secret" in line:
                break
        # The letter that has it begin again.
        client.stdin.write("R\n")
        client.stdin.flush()
        answer = client.stdout.read()
    assert "no renegotiation" in answer
    with server.phone("alice", "tls") as phone:
        phone.register()


def test_sips(server: Server) -> None:
    """RFC 5630: secure from phone to phone; a sip caller keeps sip; a sip phone is not for sips."""
    aors = {name: f"sips:{name}@{DOMAIN}" for name in ("alice", "bob")}
    with (
        server.phone("alice", "tls") as alice,
        server.phone("bob", "tls") as bob,
        server.phone("carol", "udp") as carol,
    ):
        for name, phone in (("alice", alice), ("bob", bob)):
            # A Contact that leads nowhere, as behind a NAT.
            phone.aor = aors[name]
            phone.contact = f"<sips:{name}@192.0.2.77:5061>"
            phone.register()
        carol.register()
        alice.invite(aors["bob"])
        invite = bob.expect("INVITE")
        assert invite.start.startswith("INVITE sips:bob@192.0.2.77:5061 ")
        assert all(route.startswith("<sips:") for route in invite.all("record-route"))
        bob.answer(invite, "200 OK")
        alice.established(alice.expect("200"))
        bob.expect("ACK")
        for sender, receiver in ((alice, bob), (bob, alice)):
            sender.within("INFO")
            receiver.answer(receiver.expect("INFO"), "200 OK")
            sender.expect("200")
        bob.within("BYE")
        alice.answer(alice.expect("BYE"), "200 OK")
        bob.expect("200")

        carol.invite(f"sip:bob@{DOMAIN}")
        invite = bob.expect("INVITE")
        assert invite.start.startswith("INVITE sip:bob@192.0.2.77:5061 ")
        assert all(route.startswith("<sip:") for route in invite.all("record-route"))
        bob.answer(invite, "486 Busy Here")
        bob.expect("ACK")
        carol.expect("486")

        alice.invite(f"sips:carol@{DOMAIN}")
        assert alice.expect("480").get("warning") == '380 sansip "SIPS Not Allowed"'
