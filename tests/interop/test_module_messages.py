"""Offline messages in the installed server: every 202 is delivered, over ``kill -9``; PJSIP shows them."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_pjsip import PjsipPhone
from tests.missing import needs_pjsua2

pytestmark = pytest.mark.interop

DOMAIN = "biloxi.test"
BOB = f"sip:bob@{DOMAIN}"
# Rounds of stored messages and a kill; a hundred where nobody waits for it.
KILLS = 100 if os.environ.get("SANSIP_HOSTILE") else 5


def config(tmp_path: Path) -> str:
    return f'control = "ctl.sock"\nstore = "{tmp_path / "messages.db"}"\n[messages]\nretry = 1.0\n'


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Socket:
    """A phone or a sender of our own, over UDP."""

    def __init__(self, server: tuple[str, int], sockets: ExitStack) -> None:
        self.sock = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.sock.settimeout(3)
        self.sock.bind((LOCAL, 0))
        self.server = server
        self.port = self.sock.getsockname()[1]

    def request(
        self, method: str, name: str, fields: str, body: str = "", uri: str = BOB, sender: str = ""
    ) -> str:
        """Send a request; return the first line of its final answer."""
        from_ = f"sip:{sender}@{DOMAIN}" if sender else f"sip:x{name}@elsewhere.test"
        head = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {LOCAL}:{self.port};branch=z9hG4bK{name}\r\n"
            f"Max-Forwards: 70\r\nFrom: <{from_}>;tag={name}\r\nTo: <{BOB}>\r\n"
            f"Call-ID: {name}\r\nCSeq: 1 {method}\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        )
        self.sock.sendto((head + body).encode(), self.server)
        while True:
            answer = self.sock.recv(65_535).decode()
            final = answer.startswith("SIP/2.0") and not answer.startswith("SIP/2.0 1")
            if final and f"branch=z9hG4bK{name}" in answer:
                return answer.partition("\r\n")[0]

    def register(self, name: str) -> None:
        fields = f"Contact: <sip:bob@{LOCAL}:{self.port}>\r\nExpires: 600\r\n"
        head = (
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {LOCAL}:{self.port};branch=z9hG4bK{name}\r\n"
        )
        head += f"Max-Forwards: 70\r\nFrom: <{BOB}>;tag={name}\r\nTo: <{BOB}>\r\nCall-ID: {name}\r\n"
        self.sock.sendto(f"{head}CSeq: 1 REGISTER\r\n{fields}Content-Length: 0\r\n\r\n".encode(), self.server)

    def transactions(self, wanted: int) -> list[tuple[str, str]]:
        """Take and answer requests until there were ``wanted``; return branch and body of each."""
        found: list[tuple[str, str]] = []
        end = time.monotonic() + 5
        while len(found) < wanted and time.monotonic() < end:
            try:
                text, source = self._take()
            except TimeoutError:
                break
            if text.startswith("MESSAGE"):
                branch = re.search("branch=([^;\r]+)", text)
                assert branch is not None
                found.append((branch[1], self._answer(text, source)))
        return found

    def _take(self) -> tuple[str, tuple[str, int]]:
        data, source = self.sock.recvfrom(65_535)
        return data.decode(), source

    def _answer(self, text: str, source: tuple[str, int]) -> str:
        """Answer 200; return the body."""
        head, _, body = text.partition("\r\n\r\n")
        keep = [one for one in head.split("\r\n") if re.match("(Via|From|To|Call-ID|CSeq):", one)]
        answer = "\r\n".join(["SIP/2.0 200 OK", *keep, "Content-Length: 0", "", ""])
        self.sock.sendto(answer.encode(), source)
        return body

    def messages(self, wanted: int, patience: float = 10.0) -> list[str]:
        """Take and answer what comes until there are ``wanted``; return the bodies, repeated ones once."""
        found: dict[str, str] = {}
        end = time.monotonic() + patience
        while len(found) < wanted and time.monotonic() < end:
            try:
                text, source = self._take()
            except TimeoutError:
                continue
            if not text.startswith("MESSAGE"):
                continue
            body = self._answer(text, source)
            # The same message to the same device has the same Call-ID, also after a restart.
            call_id = re.search("Call-ID: ?([^\r]+)", text)
            assert call_id is not None
            found.setdefault(call_id[1], body)
        return list(found.values())


@pytest.mark.timeout(90 + 15 * KILLS)
def test_killed(tmp_path: Path, sockets: ExitStack) -> None:
    """Messages are acknowledged, the server dies at once; another process delivers each of them once."""
    wanted: list[str] = []
    for turn in range(KILLS):
        with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",)) as server:
            sender = Socket(server.address("udp"), sockets)
            for number in range(3):
                name = f"r{turn}n{number}"
                answer = sender.request("MESSAGE", name, "Content-Type: text/plain\r\n", name)
                assert answer == "SIP/2.0 202 Accepted"
                wanted.append(name)
            server.program.process.send_signal(signal.SIGKILL)
    with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",)) as server:
        phone = Socket(server.address("udp"), sockets)
        phone.register("reg1")
        assert phone.messages(len(wanted)) == wanted
        # Once: a second look finds nothing more.
        phone.register("reg2")
        assert phone.messages(1, patience=2) == []


def test_killed_while_delivering(tmp_path: Path, sockets: ExitStack) -> None:
    """None is lost, and those that have their mark do not come again."""
    with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",)) as server:
        sender = Socket(server.address("udp"), sockets)
        for number in range(6):
            assert sender.request("MESSAGE", f"m{number}", "Content-Type: text/plain\r\n", f"m{number}")
        phone = Socket(server.address("udp"), sockets)
        phone.register("reg1")
        first = phone.messages(3)
        time.sleep(0.3)  # the mark of the third one is written
        server.program.process.send_signal(signal.SIGKILL)
    assert first == ["m0", "m1", "m2"]
    with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",)) as server:
        phone.server = server.address("udp")
        phone.register("reg2")
        # The fourth one was on its way when the server died, and was not answered.
        # It comes again under its Call-ID, by which a phone knows that it has it.
        assert phone.messages(3) == ["m3", "m4", "m5"]


@pytest.mark.timeout(150 + 30 * KILLS)
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_between_answer_and_mark(tmp_path: Path, sockets: ExitStack, workers: int) -> None:
    """A phone with transactions shows each message once, wherever the server dies (RFC 3261 17.2.2).

    With workers the parent has the store and is killed: nearly each life sends one message of the life before
    again, and one that is new, for a mark goes through the parent. So it has as many lives for half as many.
    """
    wanted = [f"k{number}" for number in range(2 * KILLS // workers)]

    def serve() -> Siege:
        options = ["--workers", "2"] if workers > 1 else []
        return Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",), options=options)

    with serve() as server:
        sender = Socket(server.address("udp"), sockets)
        for name in wanted:
            assert sender.request("MESSAGE", name, "Content-Type: text/plain\r\n", name)
    phone = Socket(("", 0), sockets)
    # What a phone's transaction layer knows: the branch of each request that it answered, and what it showed.
    answered: set[str] = set()
    shown: list[str] = []
    turn = 0
    while len(shown) < len(wanted) and turn < 4 * KILLS:
        turn += 1
        with serve() as server:
            phone.server = server.address("udp")
            phone.register(f"reg{turn}")
            for branch, body in phone.transactions(2):
                if branch not in answered:
                    answered.add(branch)
                    shown.append(body)
            # At once after its answer: before, while or after the mark is written.
            server.program.process.send_signal(signal.SIGKILL)
    assert shown == wanted


def test_a_real_phone(tmp_path: Path, sockets: ExitStack) -> None:
    """Messages wait, operators see them without their text, and PJSIP shows them in order, each once."""
    needs_pjsua2()
    with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path)) as server:
        host, port = server.address("udp")
        sender = Socket((host, port), sockets)
        for number in range(3):
            sender.request("MESSAGE", f"m{number}", "Content-Type: text/plain\r\n", f"lunch {number}")
        shown = str(ctl(tmp_path, "messages.list", f"user={BOB}"))
        assert "octets" in shown
        assert "lunch" not in shown
        with PjsipPhone(tmp_path / "pjsip", host, str(port), "udp", DOMAIN, "bob") as phone:
            for number in range(3):
                phone.expect(f"message lunch {number}")
            told = [line for line in phone.output().splitlines() if line.startswith("message")]
        assert told == [f"message lunch {number}" for number in range(3)]
