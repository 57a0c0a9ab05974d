"""Attacks on subscriptions and publications: floods of strangers, silent watchers, forged Contacts, bad XML.

Theory of operation: see ``siege``. What a stranger's packet makes the server send is counted at a socket of
the victim, which never asked for anything.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege

DOMAIN = "siege.test"
USERS = {f"{user}@{DOMAIN}": "wonderland" for user in ("alice", "bob")}
CONFIG = """
control = "ctl.sock"
[documents]
[events]
{}
[presence]
interval = 0
[publications]
{}
"""
CLOSED = CONFIG.format("", "")
OPEN = CONFIG.format("open = true", "open = true")

pytestmark = pytest.mark.interop


def ctl(folder: Path, *words: str) -> Any:
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(folder / "ctl.sock"), *words]
    done = subprocess.run([*command, "--json"], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def message(
    method: str,
    number: int,
    port: int,
    *,
    sender: str = f"sip:alice@{DOMAIN}",
    contact: str = "",
    headers: str = "",
    body: bytes = b"",
    host: str = LOCAL,
) -> bytes:
    contact = contact or f"<sip:alice@{host}:{port}>"
    lines = [
        f"{method} sip:bob@{DOMAIN} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKa{number}",
        f"From: <{sender}>;tag=a{number}",
        f"To: <sip:bob@{DOMAIN}>",
        f"Call-ID: a{number}",
        f"CSeq: 1 {method}",
        f"Contact: {contact}",
        "Max-Forwards: 70",
        "Event: presence",
        f"{headers}Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def bound(host: str = LOCAL) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(0.2)
    return sock


def drained(sock: socket.socket, seconds: float = 0.2) -> list[bytes]:
    """Return what comes until nothing does for ``seconds``."""
    sock.settimeout(seconds)
    found = []
    while True:
        try:
            found.append(sock.recv(65_536))
        except TimeoutError:
            return found


def test_a_flood_of_strangers(tmp_path: Path) -> None:
    """Senders that prove nothing get no NOTIFY, less than they sent, and are not kept; others do not wait."""
    with Siege(tmp_path, domain=DOMAIN, config=CLOSED, users=USERS) as siege, siege.watched() as watch:
        with bound("127.0.0.9") as sock:
            port = sock.getsockname()[1]
            sent = received = 0
            for number in range(1_000):
                user = f"sip:u{number}@elsewhere.test" if number % 2 else f"sip:u{number}@{DOMAIN}"
                data = message("SUBSCRIBE", number, port, sender=user, host="127.0.0.9")
                sent += len(data)
                sock.sendto(data, siege.address("udp"))
                if number % 50 == 49:
                    answers = drained(sock, 0.05)
                    assert not any(one.startswith(b"NOTIFY") for one in answers)
                    received += sum(map(len, answers))
            received += sum(map(len, drained(sock)))
        assert ctl(tmp_path, "events.list") == []
    # A 401 has a challenge; all the same it is no amplifier.
    assert received < 2 * sent
    assert watch.spent < 5


def test_a_forged_contact(tmp_path: Path) -> None:
    """Where anybody may subscribe, the victim that Contact and Record-Route name hears nothing at all."""
    with Siege(tmp_path, domain=DOMAIN, config=OPEN) as siege, bound("127.0.0.7") as victim, bound() as sock:
        place = f"127.0.0.7:{victim.getsockname()[1]}"
        for number in range(50):
            data = message(
                "SUBSCRIBE",
                number,
                sock.getsockname()[1],
                contact=f"<sip:x@{place}>",
                headers=f"Record-Route: <sip:{place};lr>\r\n" if number % 2 else "",
            )
            sock.sendto(data, siege.address("udp"))
        notified = [one for one in drained(sock, 1.0) if one.startswith(b"NOTIFY")]
        assert notified, "the sender itself is told"
        assert drained(victim, 1.0) == []


def test_watchers_that_never_answer(tmp_path: Path) -> None:
    """Thirty subscriptions of a silent source, no more; their NOTIFYs end, and so do they."""
    with Siege(tmp_path, domain=DOMAIN, config=OPEN) as siege, siege.watched(), bound("127.0.0.8") as sock:
        for number in range(200):
            data = message("SUBSCRIBE", number, sock.getsockname()[1], host="127.0.0.8")
            sock.sendto(data, siege.address("udp"))
            time.sleep(0.002)
        heard = drained(sock, 1.0)
        accepted = {
            one.partition(b"Call-ID: ")[2].split()[0] for one in heard if one.startswith(b"SIP/2.0 200")
        }
        assert len(accepted) == 30
        assert any(one.startswith(b"SIP/2.0 503") for one in heard)
        assert "events.unanswered" in siege.log


def bomb() -> bytes:
    """A document whose entities would be a gigabyte."""
    entities = ['<!ENTITY a0 "aaaaaaaaaaaaaaaa">']
    entities += [f'<!ENTITY a{n + 1} "{f"&a{n};" * 8}">' for n in range(9)]
    return f"<!DOCTYPE p [{''.join(entities)}]><p>&a9;</p>".encode()


@pytest.mark.parametrize(
    "body",
    [
        bomb(),
        b"<a>" * 5_000,
        b"<a " + b" ".join(b'x%d="1"' % n for n in range(2_000)) + b"/>",
        b"\xff\xfe" * 4_000,
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='x'>"
        + b"<note>n</note>" * 900
        + b"</presence>",
    ],
    ids=["bomb", "deep", "attributes", "octets", "notes"],
)
def test_broken_documents(tmp_path: Path, body: bytes) -> None:
    """Each is a 4xx that costs little, and nobody else waits."""
    with Siege(tmp_path, domain=DOMAIN, config=OPEN) as siege, siege.watched() as watch, bound() as sock:
        for number in range(100):
            headers = "Content-Type: application/pidf+xml\r\n"
            data = message("PUBLISH", number, sock.getsockname()[1], headers=headers, body=body)
            sock.sendto(data, siege.address("udp"))
            answers = drained(sock, 0.05)
            assert all(one.startswith(b"SIP/2.0 4") for one in answers), answers
        assert ctl(tmp_path, "publications.list", f"resource=sip:bob@{DOMAIN}") == []
    assert watch.spent < 6


def test_forged_tags(tmp_path: Path) -> None:
    """Tags that look like ours, and entity-tags: 481 and 412, without a look at the store."""
    with Siege(tmp_path, domain=DOMAIN, config=OPEN) as siege, siege.watched() as watch, bound() as sock:
        host, port = siege.address("udp")
        answers: list[bytes] = []
        for number in range(300):
            text = message("SUBSCRIBE", number, sock.getsockname()[1]).decode()
            text = text.replace(f"To: <sip:bob@{DOMAIN}>", f"To: <sip:bob@{DOMAIN}>;tag=e-{number:032x}")
            text = text.replace(f"SUBSCRIBE sip:bob@{DOMAIN}", f"SUBSCRIBE sip:{host}:{port}")
            sock.sendto(text.encode(), (host, port))
            match = f"SIP-If-Match: {number:x}\r\n"
            data = message("PUBLISH", 1_000 + number, sock.getsockname()[1], headers=match)
            sock.sendto(data, (host, port))
            if number % 20 == 19:
                answers += drained(sock, 0.1)
        assert {one[8:11] for one in answers} <= {b"481", b"412"}
        assert len(answers) > 550
    assert watch.spent < 3
