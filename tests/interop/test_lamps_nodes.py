"""Lamps and mailboxes at one of two living nodes, of what happens at the other (RFC 4235, RFC 3842).

Theory of operation: two installed ``sansip serve`` share a Redis. Phones are sockets that speak SIP here. Bob
registers at the first node and is called over it; a watcher at the second is told that it rings, is answered
and ends. An operator sets a mailbox at the first; the owner's phone at the second is told.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop.test_cluster import Node
from tools.peers import free_port
from tools.redises import HOST, redis_server

pytestmark = [pytest.mark.interop, pytest.mark.needs("redis-server", "redis-cli"), pytest.mark.timeout(120)]

MODULES = """
rows = "{rows}"
control = "{socket}"
[events]
open = true
[calls]
[lamps]
interval = 0.0
watchers = "everyone"
[publications]
[mailboxes]
"""


class Phone:
    """A phone of ``user`` at the node on ``port``."""

    def __init__(self, user: str, port: int) -> None:
        self.user, self.server = user, (HOST, port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((HOST, 0))
        self.port = self.sock.getsockname()[1]
        self.cseq = 0
        self.bodies: list[str] = []
        self.got: list[str] = []

    def close(self) -> None:
        self.sock.close()

    def send(self, method: str, to: str, headers: str = "", tag: str = "", route: str = "") -> None:
        self.cseq += method != "ACK"
        uri = route or f"sip:{to}@biloxi.test" if method != "REGISTER" else "sip:biloxi.test"
        text = (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{method}{self.cseq}\r\n"
            f"From: <sip:{self.user}@biloxi.test>;tag={self.user}\r\n"
            f"To: <sip:{to}@biloxi.test>{tag and f';tag={tag}'}\r\n"
            f"Call-ID: {self.user}-{to}\r\nCSeq: {self.cseq} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{self.user}@{HOST}:{self.port}>\r\n{headers}Content-Length: 0\r\n\r\n"
        )
        self.sock.sendto(text.encode(), self.server)

    def answer(self, request: str, status: str, tag: str = "") -> None:
        lines = [
            line
            for line in request.partition("\r\n\r\n")[0].split("\r\n")
            if re.match("(?i)(via|from|to|call-id|cseq|record-route):", line)
        ]
        lines = [f"{one};tag={tag}" if tag and one.startswith("To:") else one for one in lines]
        lines.append(f"Contact: <sip:{self.user}@{HOST}:{self.port}>\r\nContent-Length: 0\r\n\r\n")
        self.sock.sendto("\r\n".join([f"SIP/2.0 {status}", *lines]).encode(), self.server)

    def hear(self, wanted: str, seconds: float = 20.0) -> str:
        """Return the next message that has ``wanted``; answer NOTIFYs."""
        end = time.monotonic() + seconds
        while True:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                text = self.sock.recv(65_536).decode()
            except TimeoutError:
                raise AssertionError(f"{self.user} did not get {wanted}, but {self.got}") from None
            self.got.append(text)
            if text.startswith("NOTIFY"):
                self.answer(text, "200 OK")
            if wanted in text:
                return text


def test_what_happens_at_the_other_node(tmp_path: Path) -> None:
    """Both nodes live."""
    port = free_port()
    location = f"redis://{HOST}:{port}/0"
    with redis_server(tmp_path / "redis", port):
        one, two = (
            Node(
                tmp_path,
                name,
                location,
                more=MODULES.format(rows=location, socket=tmp_path / f"{name}.sock"),
            )
            for name in ("n1", "n2")
        )
        try:
            one.program.wait_for("node n2 lives")
            two.program.wait_for("node n1 lives")
            with (
                closing(Phone("alice", one.port)) as alice,
                closing(Phone("bob", one.port)) as bob,
                closing(Phone("dave", two.port)) as dave,
                closing(Phone("bob", two.port)) as owner,
            ):
                _play_call(alice, bob, dave)
                _play_mailbox(tmp_path, owner)
        finally:
            for node in (one, two):
                node.stop()
    for node in (one, two):
        assert "Traceback" not in node.program.output()


def _play_call(alice: Phone, bob: Phone, dave: Phone) -> None:
    bob.send("REGISTER", "bob", "Expires: 600\r\n")
    bob.hear("SIP/2.0 200")
    dave.send("SUBSCRIBE", "bob", "Event: dialog\r\nExpires: 600\r\n")
    dave.hear("dialog-info")
    alice.send("INVITE", "bob")
    invite = bob.hear("INVITE sip:bob")
    bob.answer(invite, "180 Ringing", "b")
    assert 'direction="recipient"' in dave.hear("<state>early</state>")
    bob.answer(invite, "200 OK", "b")
    dave.hear("<state>confirmed</state>")
    accepted = alice.hear("SIP/2.0 200")
    record = re.findall(r"(?i)\r\nrecord-route: ([^\r]*)", accepted)
    routes = "".join(f"Route: {one}\r\n" for one in reversed(record))
    target = f"sip:bob@{HOST}:{bob.port}"
    alice.send("ACK", "bob", routes, "b", target)
    alice.send("BYE", "bob", routes, "b", target)
    bob.answer(bob.hear("BYE sip:bob"), "200 OK")
    dave.hear("terminated</state>")


def _play_mailbox(directory: Path, owner: Phone) -> None:
    owner.send("SUBSCRIBE", "bob", "Event: message-summary\r\nExpires: 600\r\n")
    owner.hear("Messages-Waiting: no")
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(directory / "n1.sock")]
    words = ["mailboxes.set", "user=sip:bob@biloxi.test", "new=2"]
    done = subprocess.run([*command, *words], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    owner.hear("Voice-Message: 2/0")
