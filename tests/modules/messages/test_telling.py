"""What senders are told of kept messages (RFC 5438), and reminders."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sansip.module import CommandError
from sansip.modules.messages import Messages
from sansip.testing import ModuleBench
from tests.modules.messages.kept import BOB, answer, come, fetch, made, register, write

pytestmark = pytest.mark.usefixtures("way")


CPIM = (
    "From: <sip:caller@elsewhere.example>\r\nTo: <sip:bob@example.com>\r\nNS: i <urn:ietf:params:imdn>\r\n"
    "i.Message-ID: m1\r\ni.Disposition-Notification: processing, negative-delivery\r\n\r\n"
    "Content-Type: text/plain\r\n\r\nhello"
)


def carol_writes(bench: ModuleBench[Messages], body: str, kind: str, host: str = "192.0.2.21") -> None:
    """Have carol send a message to bob, from ``host``."""
    number = len(bench.sent)
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bKcarol{host}{number}",
        "Max-Forwards: 70",
        "From: <sip:carol@example.com>;tag=c",
        f"To: <{BOB}>",
        f"Call-ID: carol-{host}-{number}",
        "CSeq: 1 MESSAGE",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), (host, 5060))


def carol_registers(bench: ModuleBench[Messages], cseq: int = 1) -> None:
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKregc{cseq}",
        "Max-Forwards: 70",
        "From: <sip:carol@example.com>;tag=r",
        "To: <sip:carol@example.com>",
        "Call-ID: reg-carol",
        f"CSeq: {cseq} REGISTER",
        "Contact: <sip:carol@192.0.2.21:5060>;expires=3600",
        "Content-Length: 0",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), ("192.0.2.21", 5060))


def test_the_sender_is_told_that_it_is_stored() -> None:
    """RFC 5438 8.1: who asks for it is told, once, and only by a message to the sender's own phone."""
    bench = made()
    carol_registers(bench)
    bench.sent.clear()
    mine = CPIM.replace("caller@elsewhere.example", "carol@example.com")
    carol_writes(bench, mine, "message/cpim")
    [told] = come(bench)
    assert str(told.uri) == "sip:carol@192.0.2.21:5060"
    assert told.get("content-type") == "message/cpim"
    assert b"<processing-notification><status><stored/>" in told.body
    answer(bench, told, host="192.0.2.21")
    bench.wait(200)
    assert come(bench) == []


@pytest.mark.parametrize("fault", ["no phone of the sender's there", "another sender in the header"])
def test_nobody_else_is_told(fault: str) -> None:
    """A stranger who writes a user's name into From, or into the header, sends that user nothing."""
    bench = made()
    carol_registers(bench)
    bench.sent.clear()
    if fault == "no phone of the sender's there":
        carol_writes(
            bench, CPIM.replace("caller@elsewhere.example", "carol@example.com"), "message/cpim", "192.0.2.66"
        )
    else:
        carol_writes(bench, CPIM, "message/cpim")
    bench.wait(200)
    assert come(bench) == []


def test_the_sender_is_told_that_it_failed() -> None:
    """RFC 5438 8.2: nobody fetched it in time."""
    bench = made(expires=600)
    carol_registers(bench)
    carol_writes(bench, CPIM.replace("caller@elsewhere.example", "carol@example.com"), "message/cpim")
    bench.wait(1)
    [stored] = come(bench)
    answer(bench, stored, host="192.0.2.21")
    bench = bench.restarted()
    carol_registers(bench, cseq=2)
    bench.sent.clear()
    bench.wait(700)
    told = come(bench)
    assert [b"<failed/>" in one.body for one in told] == [True]


def test_a_notice_by_setting() -> None:
    """What msilo calls offline_message; a sender at an unknown address is not told."""
    bench = made(notice="bob is away")
    carol_registers(bench)
    bench.sent.clear()
    carol_writes(bench, "hello", "text/plain")
    [told] = come(bench)
    assert told.body == b"bob is away"
    assert str(told.from_.uri) == BOB
    answer(bench, told, host="192.0.2.21")
    write(bench, "from elsewhere")
    assert come(bench) == []


def test_a_reminder() -> None:
    """It comes at its time, over a restart, not before, behind what was kept before it."""
    bench = made()
    register(bench)
    at = datetime.fromtimestamp(1_700_003_000, UTC).isoformat()
    assert bench.command("messages.remind", user=BOB, text="the dentist", at=at)
    bench = bench.restarted()
    register(bench, cseq=2)
    assert fetch(bench) == []
    bench.wait(2_900)
    assert fetch(bench) == []
    register(bench, cseq=3)
    bench.wait(200)
    assert fetch(bench) == ["the dentist"]


@pytest.mark.parametrize(
    ("user", "at", "said"),
    [
        (BOB, "tomorrow", "2026-12-24T18:00+01:00"),
        (BOB, "2026-12-24T18:00", "2026-12-24T18:00+01:00"),
        (BOB, "1999-12-24T18:00+01:00", "366 days"),
        ("sip:mallory@example.com", "soon", "no user"),
        ("bob", "soon", "messages.remind"),
    ],
)
def test_a_wrong_reminder(user: str, at: str, said: str) -> None:
    """The refusal says how it is written."""
    bench = made()
    if at == "soon":
        at = datetime.fromtimestamp(1_700_000_060, UTC).isoformat()
    refused = bench.command("messages.remind", user=user, text="x", at=at)
    assert isinstance(refused, CommandError)
    assert said in str(refused)


def test_a_small_size() -> None:
    """``size`` bounds what users write; the notice of a short message is longer, and comes."""
    mine = CPIM.replace("caller@elsewhere.example", "carol@example.com")
    bench = made(expires=600, size=len(mine) + 200)
    carol_registers(bench)
    bench.sent.clear()
    carol_writes(bench, mine, "message/cpim")
    [stored] = come(bench)
    assert b"<stored/>" in stored.body
    assert len(stored.body) > len(mine) + 200
    answer(bench, stored, host="192.0.2.21")
    bench.sent.clear()
    bench.wait(700)
    [failed] = come(bench)
    assert b"<failed/>" in failed.body
