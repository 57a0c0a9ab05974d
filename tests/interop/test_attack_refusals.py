"""Refusals: they go to the sender alone, nothing is kept of them, and line ends get none."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.interop.line import PATIENCE, Line, Silence
from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request

BYSTANDER = "127.0.0.9"


def received(line: Line, seconds: float) -> list[bytes]:
    """Return the messages on ``line`` within ``seconds``."""
    until = time.monotonic() + seconds
    found = []
    while (left := until - time.monotonic()) > 0:
        try:
            found.append(line.receive(left))
        except Silence:
            break
    return found


def bystander() -> socket.socket:
    """A host that asked for nothing, on the port that SIP is sent to."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((BYSTANDER, 0))
    sock.settimeout(0.5)
    return sock


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_strangers_invite_is_answered_once(tmp_path: Path, transport: str) -> None:
    """RFC 3261 8.2.7: one datagram for one, whatever it is refused for; it used to be eleven."""
    stranger = "<sip:m@elsewhere.example>;tag=1"
    with Siege(tmp_path, users={"bob@siege.test": "x"}) as siege, siege.watched():
        cases = (
            (f"sip:nobody@{siege.domain}", stranger, b"404"),
            ("sip:x@other.example", stranger, b"403"),
            (f"sip:{siege.domain}", stranger, b"484"),
            ("foo:bar", stranger, b"416"),
            (f"sip:nobody@{siege.domain}", f"<sip:bob@{siege.domain}>;tag=1", b"407"),
        )
        with siege.line(transport) as line:
            sent = []
            for uri, from_, _ in cases:
                sent.append(request("INVITE", uri, line, from_=from_))
                line.send(sent[-1])
            answers = received(line, 1.2)
            assert sorted(one.split(b" ", 2)[1] for one in answers) == sorted(case[2] for case in cases)
            # The rest is the challenge, and our To tags.
            assert sum(map(len, answers)) < 1.5 * sum(map(len, sent))


@pytest.mark.parametrize("field", ["maddr={host};branch=z9hG4bKm", "received={host};branch=z9hG4bKm"])
def test_nobody_else_is_answered(tmp_path: Path, field: str) -> None:
    """RFC 3261 18.2.2: a Via of a stranger names a third host, which gets nothing."""
    with Siege(tmp_path) as siege, bystander() as third, siege.watched():
        port = third.getsockname()[1]
        with siege.line("udp") as stranger:
            for number, method in enumerate(("OPTIONS", "INVITE", "FOO")):
                data = request(method, f"sip:{siege.domain}", stranger, cseq=number + 1)
                via = f"Via: SIP/2.0/UDP {LOCAL}:{port};{field.format(host=BYSTANDER)}{number}"
                lines = [via.encode() if one.startswith(b"Via") else one for one in data.split(b"\r\n")]
                stranger.send(b"\r\n".join(lines))
            with pytest.raises(TimeoutError):
                third.recv(65_535)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_refused_messages_leave_no_memory(tmp_path: Path, transport: str) -> None:
    """2,000 messages of 8 KB, each malformed: 16 MB came in, and nothing of it stays."""
    with Siege(tmp_path) as siege:
        with siege.line(transport) as stranger:
            bad = request("MESSAGE", f"sip:{siege.domain}", stranger, lines=["X y", f"X: {'z' * 7_500}"])
            # Memory that a process takes once, for its buffers, is not counted.
            for _ in range(100):
                stranger.send(bad)
                assert stranger.receive().startswith(b"SIP/2.0 400 ")
            with siege.watched() as watch:
                for _ in range(2_000):
                    stranger.send(bad)
                    # The answer is waited for, so that no kernel's buffer overflows.
                    stranger.receive()
        assert watch.grown < 8_000_000


def test_a_single_line_end_keeps_a_connection(tmp_path: Path) -> None:
    """RFC 3261 7.5: it begins no message, so ``message_time`` does not end the connection."""
    siege = Siege(tmp_path, config="[limits]\nmessage_time = 0.5\n")
    with siege, siege.watched(), siege.line("tcp") as phone:
        for _ in range(3):
            phone.send(b"\r\n")
            time.sleep(0.6)
        phone.send(request("OPTIONS", f"sip:{siege.domain}", phone))
        # Before the answer comes the pong of two line ends.
        assert phone.receive().lstrip(b"\r\n").startswith(b"SIP/2.0 200 ")


def test_a_flood_of_pings(tmp_path: Path) -> None:
    """RFC 5626 4.4.1: each is answered, by one write for all of a read, and no other peer waits."""
    pings = 100_000
    siege = Siege(tmp_path)
    with siege, siege.watched() as watch, socket.create_connection(siege.address("tcp")) as stranger:
        stranger.settimeout(PATIENCE)
        for _ in range(100):
            stranger.sendall(b"\r\n\r\n" * (pings // 100))
        left = 2 * pings
        while left > 0:
            left -= len(stranger.recv(65_536))
        assert left == 0
    assert watch.spent < 1.0
