"""Attacks on chat rooms: a stranger's datagram must not become one for each member."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.siege import Siege

pytestmark = pytest.mark.interop

DOMAIN = "biloxi.test"
MEMBERS = 50
CONFIG = (
    f'[rooms]\n[[rooms.rooms]]\naddress = "sip:team@{DOMAIN}"\nmembers = ['
    + ", ".join(f'"sip:m{number}@{DOMAIN}"' for number in range(MEMBERS))
    + "]\n"
)


def test_strangers(tmp_path: Path) -> None:
    """A thousand messages that say they are a member's, from another address: each gets a 403 alone."""
    with (
        Siege(tmp_path, domain=DOMAIN, config=CONFIG, transports=("udp",)) as server,
        server.line("udp", source=("127.0.0.3", 0)) as phones,
    ):
        host, port = phones.local
        for number in range(MEMBERS):
            phones.send(
                f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKr{number}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:m{number}@{DOMAIN}>;tag=r\r\n"
                f"To: <sip:m{number}@{DOMAIN}>\r\nCall-ID: r{number}\r\nCSeq: 1 REGISTER\r\n"
                f"Contact: <sip:m{number}@{host}:{port}>\r\nContent-Length: 0\r\n\r\n".encode()
            )
        assert sum(one.startswith(b"SIP/2.0 200") for one in phones.received()) == MEMBERS
        with server.line("udp", source=("127.0.0.2", 0)) as stranger, server.watched() as watch:
            host, port = stranger.local
            for number in range(1_000):
                stranger.send(
                    f"MESSAGE sip:team@{DOMAIN} SIP/2.0\r\n"
                    f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKs{number}\r\nMax-Forwards: 70\r\n"
                    f"From: <sip:m1@{DOMAIN}>;tag=s{number}\r\nTo: <sip:team@{DOMAIN}>\r\n"
                    f"Call-ID: s{number}\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n"
                    "Content-Length: 3\r\n\r\nbuy".encode()
                )
            answers = stranger.received()
        assert answers
        assert all(one.startswith(b"SIP/2.0 403") for one in answers)
        assert not [one for one in phones.received() if one.startswith(b"MESSAGE")]
    assert watch.spent < 3
